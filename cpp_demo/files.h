#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <system_error>
#include <vector>

namespace torchcrate {

using Bytes = std::vector<std::uint8_t>;

/// Returns the first `limit` bytes of a file, or all of it if it is shorter.
/// @throws std::system_error if it cannot be opened or read.
[[nodiscard]] Bytes read_file(const std::filesystem::path& path, std::size_t limit = SIZE_MAX);

/// Writes `data` under `path` whole or not at all: NAME.partial, fsync, rename. What is no file, a
/// device, a pipe or a link, is written into.
/// @throws std::system_error if that is not possible; no partial file is left then.
void write_whole(const std::filesystem::path& path, const Bytes& data);

/// Sends answers on their way.
/// @throws NobodyReads if `out` is a pipe without a reader.
/// @throws RunnerError if they cannot be written.
void deliver(std::ostream& out, const std::string& answers);

/// Returns the system's words for `error` in lower case, such as "permission denied".
[[nodiscard]] std::string reason(const std::system_error& error);

}  // namespace torchcrate

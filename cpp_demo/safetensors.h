#pragma once

#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>

#include "tensor.h"

namespace torchcrate {

/// What a safetensors file holds: named tensors, and words about them.
struct SafeTensors {
  Tensors tensors;
  std::map<std::string, std::string> metadata;
};

/// A file that is not sound safetensors; its text is the reason alone.
struct SafeTensorsError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Returns the length of the header of a file that begins with `first`, 8 bytes or more.
/// @throws SafeTensorsError if a file of `size` bytes has no such header.
std::uint64_t require_header(const Bytes& first, std::uint64_t size);

/// Reads the bytes of a file: u64 length of the header (little endian, at most 100 MB),
/// JSON header, data. Tensors must cover the data without a gap or an overlap.
/// @throws SafeTensorsError if `file` is anything else.
[[nodiscard]] SafeTensors parse_safetensors(const Bytes& file);

/// Returns the bytes that `parse_safetensors` reads as `tensors`, without metadata.
[[nodiscard]] Bytes dump_safetensors(const Tensors& tensors);

}  // namespace torchcrate

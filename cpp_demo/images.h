#pragma once

#include <cstddef>
#include <filesystem>

#include "chunks.h"

namespace torchcrate {

/// Pixels: value(channel, row, column) = pixels[(channel * height + row) * width + column].
struct Picture {
  std::size_t height = 0;
  std::size_t width = 0;
  Bytes pixels;  ///< (channels, H, W), 0 is black
};

/// Returns the pixels of a PNG file as grey (1 channel) or as red, green and blue (3).
/// The decode rule stands at the top of images.py; both read every file alike.
/// @throws ImageError if it cannot be read, is not a sound PNG, or exceeds a limit.
[[nodiscard]] Picture read_picture(const std::filesystem::path& path, std::size_t channels);

}  // namespace torchcrate

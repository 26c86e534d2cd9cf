#pragma once

#include <cstddef>
#include <filesystem>

#include "chunks.h"

/// Grey pixels: value(row, column) = pixels[row * width + column].
struct Grey {
  std::size_t height = 0;
  std::size_t width = 0;
  Bytes pixels;  ///< (H, W), 0 is black
};

/// Returns the pixels of a PNG file as grey. The decode rule stands at the top
/// of images.py; both read every file alike.
/// @throws ImageError if it cannot be read, is not a sound PNG, or exceeds a limit.
[[nodiscard]] Grey read_grey(const std::filesystem::path& path);

#pragma once

#include <array>
#include <optional>
#include <stdexcept>

#include "files.h"

namespace torchcrate {

/// A file that is not read; its text is the reason, in one line.
struct ImageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

constexpr std::size_t kMaxFile = std::size_t{1} << 28;  ///< bytes: 256 MiB
constexpr std::size_t kMaxSide = std::size_t{1} << 16;  ///< pixels
constexpr std::size_t kMaxPixels = std::size_t{1} << 26;

constexpr std::array<std::uint8_t, 8> kSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

enum Colour : int { kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgbAlpha = 6 };

/// The values of IHDR, all legal.
struct Header {
  std::size_t width, height;
  int depth, colour;
  bool interlaced;

  [[nodiscard]] std::size_t channels() const {
    return colour == kRgb ? 3 : colour == kGreyAlpha ? 2 : colour == kRgbAlpha ? 4 : 1;
  }
};

/// A PNG of which every byte has been judged.
struct Checked {
  Header header{};
  std::optional<Bytes> palette;       ///< colours of PLTE, three bytes an entry
  std::optional<Bytes> transparency;  ///< the body of tRNS
  Bytes rows;                         ///< filtered rows of all passes, filter bytes in front
};

/// The rows of a picture that a file has in one go: all of them, or one pass of Adam7.
struct Pass {
  std::size_t left, top, across, down;  ///< first column and row, and the steps from there
  std::size_t rows, columns;
  std::size_t size;  ///< bytes a row, its filter byte included
};

/// Returns the passes that have pixels, in the order of the file.
[[nodiscard]] std::vector<Pass> passes_of(const Header& header);

/// Judges signature, chunks, their order and the pixel data. Mirrors chunks.py, where
/// the list of what is refused stands.
/// @throws ImageError if the bytes of `file` are not a sound PNG, or exceed a limit.
[[nodiscard]] Checked check(const Bytes& file);

}  // namespace torchcrate

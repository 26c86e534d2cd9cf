#include "samples.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace torchcrate {

namespace {

/// The predictor of filter 4: of left, above and the corner between them the nearest to
/// left + above - corner (PNG specification, 9.4).
int paeth(int left, int above, int corner) {
  const int to_left = std::abs(above - corner);
  const int to_above = std::abs(left - corner);
  const int to_corner = std::abs(left + above - 2 * corner);
  if (to_left <= to_above && to_left <= to_corner) return left;
  return to_above <= to_corner ? above : corner;
}

/// Undoes the filter of one row.
/// @param step   bytes from a sample to the same sample of the pixel before, at least 1.
/// @param above  the row above without its filter, zeros above the first.
void undo(int filter, std::uint8_t* row, const std::uint8_t* above, std::size_t size,
          std::size_t step) {
  const auto add = [row](std::size_t i, int value) {
    row[i] = static_cast<std::uint8_t>(row[i] + value);
  };
  const std::size_t first = std::min(step, size);  // bytes that have nothing to their left
  if (filter == 1) {
    for (std::size_t i = first; i < size; ++i) add(i, row[i - step]);
  } else if (filter == 2) {
    for (std::size_t i = 0; i < size; ++i) add(i, above[i]);
  } else if (filter == 3) {
    for (std::size_t i = 0; i < first; ++i) add(i, above[i] / 2);
    for (std::size_t i = first; i < size; ++i) add(i, (row[i - step] + above[i]) / 2);
  } else if (filter == 4) {
    for (std::size_t i = 0; i < first; ++i) add(i, above[i]);
    for (std::size_t i = first; i < size; ++i) {
      add(i, paeth(row[i - step], above[i], above[i - step]));
    }
  }
}

/// Puts the pixels of a row where they belong.
void place(const Header& header, const Pass& pass, const std::uint8_t* row, std::uint8_t* samples) {
  const auto depth = static_cast<std::size_t>(header.depth);
  const std::size_t size = header.channels() * (depth == 16 ? 2 : 1);
  if (depth >= 8 && pass.across == 1) {
    std::memcpy(samples + pass.left * size, row, pass.columns * size);
    return;
  }
  for (std::size_t i = 0; i < pass.columns; ++i) {
    std::uint8_t* const pixel = samples + (pass.left + i * pass.across) * size;
    if (depth >= 8) {
      std::memcpy(pixel, row + i * size, size);
    } else {  // the first pixel of a byte is in its high bits
      const std::size_t shift = 8 - depth - i * depth % 8;
      *pixel = static_cast<std::uint8_t>(row[i * depth / 8] >> shift & ((1U << depth) - 1));
    }
  }
}

}  // namespace

Bytes samples_of(Checked& png) {
  const Header& header = png.header;
  const std::size_t bits = static_cast<std::size_t>(header.depth) * header.channels();
  const std::size_t line = header.width * header.channels() * (header.depth == 16 ? 2 : 1);
  const std::size_t step = std::max(bits / 8, std::size_t{1});
  Bytes samples(header.height * line);
  std::uint8_t* row = png.rows.data();
  for (const Pass& pass : passes_of(header)) {
    const Bytes nothing(pass.size);
    const std::uint8_t* above = nothing.data();
    for (std::size_t i = 0; i < pass.rows; ++i, row += pass.size) {
      undo(row[0], row + 1, above, pass.size - 1, step);
      above = row + 1;
      place(header, pass, row + 1, samples.data() + (pass.top + i * pass.down) * line);
    }
  }
  return samples;
}

}  // namespace torchcrate

#include "images.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "samples.h"

namespace torchcrate {

namespace {

using Colour3 = std::array<std::uint8_t, 3>;  ///< red, green, blue

/// Lays a colour over white; `alpha` in [0, 255].
Colour3 over_white(const Colour3& colour, std::uint32_t alpha) {
  Colour3 result;
  std::transform(colour.begin(), colour.end(), result.begin(), [alpha](std::uint32_t c) {
    return static_cast<std::uint8_t>((c * alpha + 255 * (255 - alpha) + 127) / 255);
  });
  return result;
}

std::uint8_t luma(const Colour3& c) {
  return static_cast<std::uint8_t>((19595U * c[0] + 38470U * c[1] + 7471U * c[2] + 32768U) >> 16);
}

/// Where the pixels go, one after the other.
class Canvas {
 public:
  Canvas(const Header& header, std::size_t channels)
      : channels_(channels), area_(header.height * header.width) {
    picture_.height = header.height;
    picture_.width = header.width;
    picture_.pixels.resize(channels * area_);
  }

  void put(std::size_t at, const Colour3& colour) {
    if (channels_ == 1) {
      picture_.pixels[at] = luma(colour);
    } else {
      for (std::size_t i = 0; i < 3; ++i) picture_.pixels[i * area_ + at] = colour[i];
    }
  }

  void put(const Bytes& samples, const std::array<Colour3, 256>& table) {
    for (std::size_t channel = 0; channel < channels_; ++channel) {
      std::array<std::uint8_t, 256> values;
      std::transform(table.begin(), table.end(), values.begin(), [&](const Colour3& colour) {
        return channels_ == 1 ? luma(colour) : colour[channel];
      });
      std::transform(samples.begin(), samples.end(),
                     picture_.pixels.begin() + static_cast<std::ptrdiff_t>(channel * area_),
                     [&values](std::uint8_t sample) { return values[sample]; });
    }
  }

  [[nodiscard]] Picture take() { return std::move(picture_); }

 private:
  std::size_t channels_, area_;
  Picture picture_;
};

/// Returns the colour of each sample of a grey or palette file of up to 8 bits.
std::array<Colour3, 256> table_of(const Checked& png) {
  std::array<Colour3, 256> table{};
  if (png.header.colour == kPalette) {
    const Bytes alpha = png.transparency.value_or(Bytes{});
    for (std::size_t i = 0; i < png.palette->size() / 3; ++i) {
      const std::uint8_t* c = png.palette->data() + 3 * i;
      table[i] = over_white({c[0], c[1], c[2]}, i < alpha.size() ? alpha[i] : 255);
    }
    return table;
  }
  const std::size_t values = std::size_t{1} << png.header.depth;
  for (std::size_t i = 0; i < values; ++i) {
    table[i].fill(static_cast<std::uint8_t>(i * (255 / (values - 1))));
  }
  if (png.transparency) {
    // The specification: only the low bits count, the others are to be ignored.
    table[(std::size_t{(*png.transparency)[0]} << 8 | (*png.transparency)[1]) % values].fill(255);
  }
  return table;
}

/// Returns whether a pixel has exactly the colour of the key in tRNS.
bool keyed(const Checked& png, const std::uint8_t* sample) {
  const Bytes& key = *png.transparency;
  if (png.header.depth == 16) return std::equal(key.begin(), key.end(), sample);
  for (std::size_t i = 0; i < key.size() / 2; ++i) {
    if (key[2 * i + 1] != sample[i]) return false;
  }
  return true;
}

/// Applies the decode rule to checked pixel data.
Picture decode(Checked png, std::size_t channels) {
  const Header& header = png.header;
  Bytes samples = samples_of(png);
  if (header.colour == kGrey && header.depth == 8 && !png.transparency && channels == 1) {
    return {header.height, header.width, std::move(samples)};  // they are the pixels
  }
  Canvas canvas(header, channels);
  if (header.colour == kPalette || (header.colour == kGrey && header.depth < 16)) {
    const std::uint8_t most =
        png.palette ? *std::max_element(samples.begin(), samples.end()) : std::uint8_t{0};
    if (png.palette && most >= png.palette->size() / 3) {
      throw ImageError("palette index " + std::to_string(most) + " is beyond PLTE");
    }
    canvas.put(samples, table_of(png));
    return canvas.take();
  }
  const std::size_t of_file = header.channels();
  const std::size_t size = header.depth == 16 ? 2 : 1;
  const std::size_t green = of_file >= 3 ? size : 0;
  const bool alpha = of_file % 2 == 0;
  const std::uint8_t* at = samples.data();
  for (std::size_t i = 0; i < header.height * header.width; ++i, at += of_file * size) {
    if (png.transparency && keyed(png, at)) {
      canvas.put(i, {255, 255, 255});
    } else {
      canvas.put(
          i, over_white({at[0], at[green], at[2 * green]}, alpha ? at[(of_file - 1) * size] : 255));
    }
  }
  return canvas.take();
}

}  // namespace

Picture read_picture(const std::filesystem::path& path, std::size_t channels) {
  try {
    return decode(check(read_file(path, kMaxFile + 1)), channels);
  } catch (const ImageError& error) {
    throw ImageError(path.string() + ": " + error.what());
  } catch (const std::system_error& error) {
    throw ImageError(path.string() + ": " + reason(error));
  }
}

}  // namespace torchcrate

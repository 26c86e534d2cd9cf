#include "images.h"

#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstring>
#include <new>
#include <string>
#include <vector>

namespace {

void append(Bytes& file, const char* name, const Bytes& body) {
  const auto number = [&file](std::size_t value) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      file.push_back(static_cast<std::uint8_t>(value >> shift & 0xff));
    }
  };
  number(body.size());
  const std::size_t start = file.size();
  file.insert(file.end(), name, name + 4);
  file.insert(file.end(), body.begin(), body.end());
  number(crc32_z(0, file.data() + start, file.size() - start));
}

/// Returns a PNG of the pixel data alone, without colours: indices become grey.
Bytes rebuild(const Checked& png) {
  const Header& header = png.header;
  Bytes ihdr;
  for (const std::size_t side : {header.width, header.height}) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      ihdr.push_back(static_cast<std::uint8_t>(side >> shift & 0xff));
    }
  }
  const int colour = header.colour == kPalette ? kGrey : header.colour;
  for (const int value : {header.depth, colour, 0, 0, header.interlaced ? 1 : 0}) {
    ihdr.push_back(static_cast<std::uint8_t>(value));
  }
  // Stored, not compressed: the stream is ours and cannot be read in two ways.
  uLongf size = compressBound(png.rows.size());
  Bytes idat(size);
  if (compress2(idat.data(), &size, png.rows.data(), png.rows.size(), 0) != Z_OK) {
    throw std::bad_alloc();
  }
  idat.resize(size);
  Bytes file(kSignature.begin(), kSignature.end());
  file.reserve(file.size() + idat.size() + 64);
  append(file, "IHDR", ihdr);
  append(file, "IDAT", idat);
  append(file, "IEND", {});
  return file;
}

struct Cursor {
  const std::uint8_t* at;
  const std::uint8_t* end;
};

void read_from_cursor(png_structp png, png_bytep out, png_size_t size) {
  auto* cursor = static_cast<Cursor*>(png_get_io_ptr(png));
  if (static_cast<png_size_t>(cursor->end - cursor->at) < size) png_error(png, "end of data");
  std::memcpy(out, cursor->at, size);
  cursor->at += size;
}

/// The one function that libpng may leave by longjmp, so nothing here needs a destructor.
/// @return nullptr, or what libpng said.
const char* decode(png_structp png, png_infop info, Cursor* cursor, png_bytepp rows,
                   std::size_t row_size) {
  if (setjmp(png_jmpbuf(png)) != 0) return static_cast<const char*>(png_get_error_ptr(png));
  png_set_read_fn(png, cursor, read_from_cursor);
  png_read_info(png, info);
  png_set_packing(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  if (png_get_rowbytes(png, info) != row_size) return "unexpected size of a row";
  png_read_image(png, rows);
  return nullptr;
}

/// Lets libpng undo filters, passes and packing.
/// @return (H, W, channels) raw samples, one byte each, or two (high first) for 16 bits.
Bytes samples_of(const Checked& png) {
  const Bytes file = rebuild(png);
  const std::size_t row_size =
      png.header.width * png.header.channels() * (png.header.depth == 16 ? 2 : 1);
  Bytes samples(png.header.height * row_size);
  std::vector<png_bytep> rows(png.header.height);
  for (std::size_t row = 0; row < rows.size(); ++row) rows[row] = samples.data() + row * row_size;
  Cursor cursor{file.data(), file.data() + file.size()};
  png_structp reader = png_create_read_struct(
      PNG_LIBPNG_VER_STRING, nullptr,
      [](png_structp self, png_const_charp) { png_longjmp(self, 1); },
      [](png_structp, png_const_charp) {});
  if (reader == nullptr) throw std::bad_alloc();
  png_infop info = png_create_info_struct(reader);
  const char* problem =
      info == nullptr ? "out of memory" : decode(reader, info, &cursor, rows.data(), row_size);
  png_destroy_read_struct(&reader, &info, nullptr);
  if (problem != nullptr) throw ImageError(std::string("libpng: ") + problem);
  return samples;
}

/// Returns the luma of a colour laid over white; `red`, `green`, `blue`, `alpha` in [0, 255].
std::uint8_t flatten(std::uint32_t red, std::uint32_t green, std::uint32_t blue,
                     std::uint32_t alpha) {
  const auto blend = [alpha](std::uint32_t c) {
    return (c * alpha + 255 * (255 - alpha) + 127) / 255;
  };
  return static_cast<std::uint8_t>(
      (19595 * blend(red) + 38470 * blend(green) + 7471 * blend(blue) + 32768) >> 16);
}

/// Returns the grey value of each sample of a grey or palette file of up to 8 bits.
std::array<std::uint8_t, 256> table_of(const Checked& png) {
  std::array<std::uint8_t, 256> table{};
  if (png.header.colour == kPalette) {
    const Bytes alpha = png.transparency.value_or(Bytes{});
    for (std::size_t i = 0; i < png.palette->size() / 3; ++i) {
      const std::uint8_t* c = png.palette->data() + 3 * i;
      table[i] = flatten(c[0], c[1], c[2], i < alpha.size() ? alpha[i] : 255);
    }
    return table;
  }
  const std::size_t values = std::size_t{1} << png.header.depth;
  for (std::size_t i = 0; i < values; ++i) {
    table[i] = static_cast<std::uint8_t>(i * (255 / (values - 1)));
  }
  if (png.transparency) {
    // The specification: only the low bits count, the others are to be ignored.
    table[(std::size_t{(*png.transparency)[0]} << 8 | (*png.transparency)[1]) % values] = 255;
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
Grey grey_of(const Checked& png) {
  const Header& header = png.header;
  const Bytes samples = samples_of(png);
  Grey grey{header.height, header.width, Bytes(header.height * header.width)};
  if (header.colour == kPalette || (header.colour == kGrey && header.depth < 16)) {
    const std::uint8_t most = *std::max_element(samples.begin(), samples.end());
    if (png.palette && most >= png.palette->size() / 3) {
      throw ImageError("palette index " + std::to_string(most) + " is beyond PLTE");
    }
    const auto table = table_of(png);
    std::transform(samples.begin(), samples.end(), grey.pixels.begin(),
                   [&table](std::uint8_t sample) { return table[sample]; });
    return grey;
  }
  const std::size_t channels = header.channels();
  const std::size_t size = header.depth == 16 ? 2 : 1;
  const bool colours = channels >= 3;
  const bool alpha = channels % 2 == 0;
  const std::uint8_t* at = samples.data();
  for (std::uint8_t& pixel : grey.pixels) {
    pixel = png.transparency && keyed(png, at)
                ? 255
                : flatten(at[0], at[colours ? size : 0], at[colours ? 2 * size : 0],
                          alpha ? at[(channels - 1) * size] : 255);
    at += channels * size;
  }
  return grey;
}

}  // namespace

Grey read_grey(const std::filesystem::path& path) {
  try {
    return grey_of(check(read_file(path, kMaxFile + 1)));
  } catch (const ImageError& error) {
    throw ImageError(path.string() + ": " + error.what());
  } catch (const std::system_error& error) {
    throw ImageError(path.string() + ": " + reason(error));
  }
}

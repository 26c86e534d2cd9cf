#include "chunks.h"

#define ZLIB_CONST  // zlib promises not to write to its input
#include <zlib.h>

#include <algorithm>
#include <new>
#include <string>

namespace torchcrate {

namespace {

/// Name and body of a chunk; the body points into the file's bytes.
struct Chunk {
  std::string name;
  const std::uint8_t* body;
  std::size_t size;

  [[nodiscard]] Bytes bytes() const { return {body, body + size}; }
};

std::uint32_t big_endian(const std::uint8_t* at) {
  return std::uint32_t{at[0]} << 24 | std::uint32_t{at[1]} << 16 | std::uint32_t{at[2]} << 8 |
         at[3];
}

std::string text(std::size_t value) { return std::to_string(value); }

/// Walks over the chunks of a file up to IEND, and lets only whole ones through.
class Chunks {
 public:
  explicit Chunks(const Bytes& data) : data_(data) {}

  Chunk next() {
    const std::size_t size = data_.size();
    const std::string truncated = "truncated at byte " + text(size);
    if (at_ + 12 > size) throw ImageError(truncated);
    const std::uint8_t* chunk = data_.data() + at_;
    const std::size_t length = big_endian(chunk);
    if (length > size - at_ - 12) throw ImageError(truncated);
    const std::string name(chunk + 4, chunk + 8);
    const auto letter = [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
    if (!std::all_of(name.begin(), name.end(), letter)) {
      throw ImageError("the chunk at byte " + text(at_) + " has no legal name");
    }
    if (crc32_z(0, chunk + 4, length + 4) != big_endian(chunk + 8 + length)) {
      throw ImageError("bad checksum in " + name + " at byte " + text(at_));
    }
    at_ += 12 + length;
    return {name, chunk + 8, length};
  }

 private:
  const Bytes& data_;
  std::size_t at_ = kSignature.size();
};

bool legal_depth(int colour, int depth) {
  switch (colour) {
    case kGrey:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16;
    case kPalette:
      return depth == 1 || depth == 2 || depth == 4 || depth == 8;
    case kRgb:
    case kGreyAlpha:
    case kRgbAlpha:
      return depth == 8 || depth == 16;
    default:
      return false;
  }
}

Header read_header(const Chunk& chunk) {
  if (chunk.size != 13) throw ImageError("IHDR has " + text(chunk.size) + " bytes, not 13");
  const std::uint8_t* body = chunk.body;
  const Header header{big_endian(body), big_endian(body + 4), body[8], body[9], body[12] == 1};
  if (!legal_depth(header.colour, header.depth)) {
    throw ImageError("no PNG has colour type " + std::to_string(header.colour) + " with " +
                     std::to_string(header.depth) + " bits");
  }
  if (body[10] != 0 || body[11] != 0 || body[12] > 1) {
    throw ImageError("unknown method in IHDR: " + text(body[10]) + ", " + text(body[11]) + ", " +
                     text(body[12]));
  }
  const std::string pixels = text(header.width) + " x " + text(header.height);
  if (header.width == 0 || header.height == 0) throw ImageError("no pixels: " + pixels);
  // Both are below 2^32, so the product cannot overflow 64 bits.
  if (std::max(header.width, header.height) > kMaxSide ||
      header.width * header.height > kMaxPixels) {
    throw ImageError(pixels + " pixels, the limit is " + text(kMaxSide) + " a side and " +
                     text(kMaxPixels) + " in all");
  }
  return header;
}

/// Judges the length of a PLTE or tRNS chunk.
void check_colours(const Header& header, const Chunk& chunk, const std::optional<Bytes>& palette) {
  bool legal = false;
  if (chunk.name == "PLTE") {
    const bool indexed = header.colour == kPalette;
    const std::size_t entries = indexed ? std::size_t{1} << header.depth : 256;
    legal = indexed || header.colour == kRgb || header.colour == kRgbAlpha;
    legal = legal && chunk.size % 3 == 0 && chunk.size >= 3 && chunk.size <= 3 * entries;
  } else if (header.colour == kPalette) {
    legal = palette && chunk.size <= palette->size() / 3;
  } else {
    legal =
        (header.colour == kGrey && chunk.size == 2) || (header.colour == kRgb && chunk.size == 6);
  }
  if (!legal) {
    throw ImageError(chunk.name + " of " + text(chunk.size) + " bytes is illegal for colour type " +
                     std::to_string(header.colour) + " with " + std::to_string(header.depth) +
                     " bits");
  }
}

/// Returns the filtered rows; never makes more than one byte too many.
Bytes inflate_rows(const Header& header, const Bytes& packed) {
  const std::vector<Pass> passes = passes_of(header);
  std::size_t want = 0;
  for (const Pass& pass : passes) want += pass.rows * pass.size;
  Bytes data(want + 1);
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) throw std::bad_alloc();
  stream.next_in = packed.data();
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = data.data();
  stream.avail_out = static_cast<uInt>(data.size());
  const int state = inflate(&stream, Z_FINISH);  // all at once: zlib keeps no window
  const std::size_t got = data.size() - stream.avail_out;
  const std::size_t unused = stream.avail_in;
  inflateEnd(&stream);
  if (state == Z_MEM_ERROR) throw std::bad_alloc();
  if (state != Z_OK && state != Z_STREAM_END && state != Z_BUF_ERROR) {
    throw ImageError("the compressed pixel data is damaged");
  }
  if (got > want) {
    throw ImageError("more pixel data than the " + text(want) + " bytes that IHDR asks for");
  }
  if (state != Z_STREAM_END) throw ImageError("the compressed pixel data is truncated");
  if (got < want) {
    throw ImageError(text(got) + " bytes of pixel data, IHDR asks for " + text(want));
  }
  if (unused > 0) throw ImageError("bytes follow the compressed pixel data");
  data.resize(want);
  std::size_t at = 0;
  for (const Pass& pass : passes) {
    for (std::size_t row = 0; row < pass.rows; ++row, at += pass.size) {
      if (data[at] > 4) throw ImageError("a row has an unknown filter");
    }
  }
  return data;
}

}  // namespace

std::vector<Pass> passes_of(const Header& header) {
  // Adam7: first column, first row, step between columns, step between rows.
  static constexpr std::size_t kAdam7[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8},
                                               {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2},
                                               {0, 1, 1, 2}};
  const std::size_t bits = static_cast<std::size_t>(header.depth) * header.channels();
  const auto size = [bits](std::size_t columns) { return 1 + (columns * bits + 7) / 8; };
  if (!header.interlaced) {
    return {{0, 0, 1, 1, header.height, header.width, size(header.width)}};
  }
  std::vector<Pass> passes;
  for (const auto& [left, top, across, down] : kAdam7) {
    const std::size_t columns = (header.width + across - 1 - left) / across;
    const std::size_t rows = (header.height + down - 1 - top) / down;
    if (columns > 0 && rows > 0) {
      passes.push_back({left, top, across, down, rows, columns, size(columns)});
    }
  }
  return passes;
}

Checked check(const Bytes& data) {
  if (data.size() > kMaxFile) {
    throw ImageError("more than " + text(kMaxFile) + " bytes, which is the limit");
  }
  if (data.empty()) throw ImageError("the file is empty");
  if (data.size() < kSignature.size() ||
      !std::equal(kSignature.begin(), kSignature.end(), data.begin())) {
    throw ImageError("not a PNG file");
  }
  Checked png;
  Bytes packed;
  std::size_t parts = 0;
  std::string last;
  Chunks chunks(data);
  while (last != "IEND") {
    const Chunk chunk = chunks.next();
    const std::string& name = chunk.name;
    if (last.empty()) {
      if (name != "IHDR") throw ImageError("the first chunk is not IHDR");
      png.header = read_header(chunk);
    } else if (name == "IDAT") {
      if (parts > 0 && last != "IDAT") throw ImageError("IDAT chunks are not in one row");
      packed.insert(packed.end(), chunk.body, chunk.body + chunk.size);
      ++parts;
    } else if (name == "PLTE" || name == "tRNS") {
      std::optional<Bytes>& place = name == "PLTE" ? png.palette : png.transparency;
      if (place || parts > 0 || (name == "PLTE" && png.transparency)) {
        throw ImageError(name + " is repeated or out of order");
      }
      check_colours(png.header, chunk, png.palette);
      place = chunk.bytes();
    } else if (name == "IEND") {
      if (chunk.size > 0) throw ImageError("IEND is not empty");
    } else if (name[0] >= 'A' && name[0] <= 'Z') {
      throw ImageError("unknown or repeated critical chunk " + name);
    }
    last = name;
  }
  if (parts == 0) throw ImageError("no IDAT chunk");
  if (png.header.colour == kPalette && !png.palette) throw ImageError("no PLTE chunk");
  png.rows = inflate_rows(png.header, packed);
  return png;
}

}  // namespace torchcrate

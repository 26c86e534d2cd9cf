#include "files.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>

namespace fs = std::filesystem;

namespace {

struct Close {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};
using File = std::unique_ptr<std::FILE, Close>;

[[noreturn]] void fail() { throw std::system_error(errno, std::generic_category()); }

File open(const fs::path& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode));
  if (!file) fail();
  return file;
}

}  // namespace

Bytes read_file(const fs::path& path, std::size_t limit) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;
  const File file = open(path, "rb");
  Bytes data;
  std::size_t size = 0;
  while (size < limit) {
    data.resize(size + std::min(kPiece + size, limit - size));
    const std::size_t got = std::fread(data.data() + size, 1, data.size() - size, file.get());
    size += got;
    if (size < data.size()) {
      if (std::ferror(file.get()) != 0) fail();
      break;
    }
  }
  data.resize(size);
  return data;
}

void write_whole(const fs::path& path, const Bytes& data) {
  fs::path partial = path;
  partial += ".partial";
  try {
    File file = open(partial, "wb");
    // fwrite must not be given the null pointer of an empty vector.
    if (!data.empty() && std::fwrite(data.data(), 1, data.size(), file.get()) != data.size())
      fail();
    if (std::fflush(file.get()) != 0 || fsync(fileno(file.get())) != 0) fail();
    file.reset();
    fs::rename(partial, path);
  } catch (...) {
    std::error_code ignored;  // the first error is the one to tell
    fs::remove(partial, ignored);
    throw;
  }
}

std::string reason(const std::system_error& error) {
  std::string words = error.code().message();
  for (char& letter : words) {
    letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  return words;
}

#include "files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <ostream>
#include <string>

#include "errors.h"

namespace torchcrate {

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

/// An open file that is closed with the object. The buffer of a FILE would cost a small image as
/// much as reading it does.
class Descriptor {
 public:
  explicit Descriptor(const fs::path& path) : number_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (number_ < 0) fail();
  }
  ~Descriptor() { close(number_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator int() const { return number_; }

 private:
  int number_;
};

void fill(std::FILE* file, const Bytes& data) {
  // fwrite must not be given the null pointer of an empty vector.
  if (!data.empty() && std::fwrite(data.data(), 1, data.size(), file) != data.size()) fail();
  if (std::fflush(file) != 0) fail();
}

constexpr std::size_t kPiece = std::size_t{1} << 16;  // of what does not tell its size

}  // namespace

Bytes read_file(const fs::path& path, std::size_t limit) {
  const Descriptor file(path);
  struct stat status {};
  if (fstat(file, &status) != 0) fail();
  const bool whole = S_ISREG(status.st_mode) && status.st_size > 0;  // its size is known
  const std::size_t room = whole ? static_cast<std::size_t>(status.st_size) : kPiece;
  Bytes data;
  std::size_t size = 0;
  while (size < limit && !(whole && size == room)) {
    if (size == data.size()) data.resize(std::min(std::max(room, 2 * size), limit));
    const ssize_t got = read(file, data.data() + size, data.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail();
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  data.resize(size);
  return data;
}

void write_whole(const fs::path& path, const Bytes& data) {
  const fs::file_status found = fs::symlink_status(path);
  if (fs::exists(found) && !fs::is_regular_file(found)) return fill(open(path, "wb").get(), data);
  fs::path partial = path;
  partial += ".partial";
  File file = open(partial, "wb");
  try {
    fill(file.get(), data);
    if (fsync(fileno(file.get())) != 0) fail();
    file.reset();
    fs::rename(partial, path);
  } catch (...) {
    std::error_code ignored;  // the first error is the one to tell
    fs::remove(partial, ignored);
    throw;
  }
}

void deliver(std::ostream& out, const std::string& answers) {
  errno = 0;
  out << answers << std::flush;
  if (out) return;
  if (errno == EPIPE) throw NobodyReads();
  const std::system_error problem(errno, std::generic_category());
  throw RunnerError("cannot write the answers: " +
                    (errno == EBADF ? "stdout is closed" : reason(problem)));
}

std::string reason(const std::system_error& error) {
  std::string words = error.code().message();
  for (char& letter : words) {
    letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  }
  return words;
}

}  // namespace torchcrate

#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// Returns the files that a pattern of --image names, sorted by bytes; nothing if none
/// does. Mirrors names.py, where the language of patterns is described.
[[nodiscard]] std::vector<std::string> expand(const std::string& pattern);

/// What a pattern names: a file, or nothing if it was in vain.
struct Named {
  std::string path;
  bool found;
};

/// What patterns name, one after the other; each is expanded when its turn comes.
class Names {
 public:
  explicit Names(std::vector<std::string> patterns) : patterns_(std::move(patterns)) {}

  /// Returns the next name, nothing after the last.
  [[nodiscard]] std::optional<Named> next();

  /// Returns whether as many names are left as `count`, or more.
  [[nodiscard]] bool hold(std::size_t count);

 private:
  void expand_one();

  std::vector<std::string> patterns_;
  std::size_t pattern_ = 0;  ///< the next to expand
  std::deque<Named> ready_;
};

/// Returns `text` as a string of JSON in ASCII. A byte that is no UTF-8 becomes
/// \udc80 to \udcff, so that no two names look alike; Python reads and writes it so.
[[nodiscard]] std::string quoted(const std::string& text);

#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace torchcrate {

/// What a pattern names: a file, or nothing if it was in vain.
struct Named {
  std::string path;
  bool found;
};

/// The files that a pattern of --image names, sorted by bytes. Mirrors names.py, where the language
/// of patterns is described. A folder is read when its turn comes, and its names are held as bytes
/// in one piece: there may be hundreds of thousands.
class Found {
 public:
  explicit Found(const std::string& pattern);

  /// Returns the next path, nothing after the last.
  [[nodiscard]] std::optional<std::string> next();

 private:
  /// What a folder has that a part of the pattern names.
  struct Folder {
    std::string known;               ///< the path up to the names
    std::string rest;                ///< what the pattern has behind them
    std::string names;               ///< each with a zero behind it
    std::vector<std::size_t> order;  ///< where they begin
    std::size_t at = 0;              ///< in `order`
  };

  void enter(std::string known, std::string rest);
  static Folder listed(std::string known, const std::string& name, std::string rest);

  std::optional<std::string> ready_;
  std::vector<Folder> folders_;  ///< each in one that the one before names
};

/// Returns all files that a pattern names; nothing if none does.
[[nodiscard]] std::vector<std::string> expand(const std::string& pattern);

/// What patterns name, one after the other.
class Names {
 public:
  explicit Names(std::vector<std::string> patterns) : patterns_(std::move(patterns)) {}

  /// Returns the next name, nothing after the last.
  [[nodiscard]] std::optional<Named> next();

  /// Returns whether as many names are left as `count`, or more; looks no further.
  [[nodiscard]] bool hold(std::size_t count);

 private:
  bool look();

  std::vector<std::string> patterns_;
  std::size_t pattern_ = 0;  ///< the next to begin
  std::optional<Found> found_;
  bool vain_ = true;  ///< whether the pattern that is begun has named nothing yet
  std::deque<Named> ready_;
};

/// Returns `text` as a string of JSON in ASCII. A byte that is no UTF-8 becomes
/// \udc80 to \udcff, so that no two names look alike; Python reads and writes it so.
[[nodiscard]] std::string quoted(const std::string& text);

}  // namespace torchcrate

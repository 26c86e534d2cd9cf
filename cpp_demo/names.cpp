#include "names.h"

#include <dirent.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <system_error>

namespace torchcrate {

namespace fs = std::filesystem;

namespace {

constexpr char32_t kNoUtf8 = 0xdc00;  // plus the byte, as Python's "surrogateescape" has it

/// Returns how many bytes at the front of `text` are one character of UTF-8, 0 if none.
std::size_t length_of(const std::string& text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(at);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || at + length > text.size()) return 0;
  for (std::size_t i = at + 1; i < at + length; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  const std::uint8_t second = byte(at + 1);  // what is too long, a surrogate or too large
  const bool illegal = (lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) ||
                       (lead == 0xf0 && second < 0x90) || (lead == 0xf4 && second > 0x8f);
  return illegal ? 0 : length;
}

std::u32string decode(const std::string& text) {
  std::u32string characters;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = length_of(text, at);
    char32_t character = static_cast<std::uint8_t>(text[at++]);
    if (length == 0) {
      character += kNoUtf8;
    } else if (length > 1) {
      character &= 0x7fU >> length;
      for (std::size_t i = 1; i < length; ++i) {
        character = character << 6 | (static_cast<std::uint8_t>(text[at++]) & 0x3fU);
      }
    }
    characters.push_back(character);
  }
  return characters;
}

bool has_magic(const std::string& name) { return name.find_first_of("*?[") != std::string::npos; }

/// Where the set that begins with the `[` at `start` has its members; nothing if no `]` closes it.
struct Set {
  bool negated;
  std::size_t first, end;  ///< of the members; `end` is the place of the `]`
};

std::optional<Set> set_at(const std::u32string& pattern, std::size_t start) {
  std::size_t first = start + 1;
  const bool negated = first < pattern.size() && (pattern[first] == '!' || pattern[first] == '^');
  if (negated) ++first;
  const std::size_t end = pattern.find(U']', first + 1);
  if (end == std::u32string::npos) return {};
  return Set{negated, first, end};
}

bool holds(const std::u32string& pattern, const Set& set, char32_t character) {
  bool found = false;
  for (std::size_t i = set.first; i < set.end;) {
    if (i + 2 < set.end && pattern[i + 1] == '-') {
      found = found || (pattern[i] <= character && character <= pattern[i + 2]);
      i += 3;
    } else {
      found = found || pattern[i] == character;
      ++i;
    }
  }
  return found != set.negated;
}

/// Returns whether a name is what a pattern without `/` means.
/// @param name  its characters: decoded, or ASCII as it is.
template <typename Characters>
bool matches(const std::u32string& pattern, const Characters& name) {
  std::size_t p = 0;
  std::size_t n = 0;
  std::size_t star = std::u32string::npos;  // the last `*`, and how far it reached
  std::size_t reached = 0;
  while (n < name.size()) {
    const auto character = static_cast<char32_t>(name[n]);
    std::size_t next = p + 1;
    bool same = p < pattern.size();
    if (same && pattern[p] == '*') {
      star = p++;
      reached = n;
      continue;
    }
    if (same && pattern[p] == '[') {
      const std::optional<Set> set = set_at(pattern, p);
      same = set ? holds(pattern, *set, character) : character == U'[';
      if (set) next = set->end + 1;
    } else if (same && pattern[p] != '?') {
      same = pattern[p] == character;
    }
    if (same) {
      p = next;
      ++n;
    } else if (star != std::u32string::npos) {
      p = star + 1;
      n = ++reached;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of(U'*', p) == std::u32string::npos;
}

bool exists(const std::string& path) {
  std::error_code ignored;  // what cannot be looked at is not there
  return fs::exists(fs::symlink_status(path, ignored));
}

bool matches(const std::u32string& pattern, const std::string& name) {
  const auto ascii = [](char letter) { return static_cast<std::uint8_t>(letter) < 0x80; };
  return std::all_of(name.begin(), name.end(), ascii)
             ? matches<std::string>(pattern, name)
             : matches<std::u32string>(pattern, decode(name));
}

struct Close {
  void operator()(DIR* folder) const noexcept { closedir(folder); }
};

}  // namespace

Found::Found(const std::string& pattern) {
  if (exists(pattern)) {
    ready_ = pattern;
  } else {
    enter("", pattern);
  }
}

std::optional<std::string> Found::next() {
  while (!ready_ && !folders_.empty()) {
    Folder& folder = folders_.back();
    if (folder.at == folder.order.size()) {
      folders_.pop_back();
      continue;
    }
    std::string path = folder.known + &folder.names[folder.order[folder.at++]];
    if (folder.rest.empty()) return path;
    enter(std::move(path), folder.rest);
  }
  return std::exchange(ready_, {});
}

/// Goes on to what begins with `known` and goes on as the pattern `rest`: a path, or a folder.
void Found::enter(std::string known, std::string rest) {
  for (;;) {
    const std::size_t start = std::min(rest.find_first_not_of('/'), rest.size());
    const std::size_t end = std::min(rest.find('/', start), rest.size());
    const std::string name = rest.substr(start, end - start);
    known += rest.substr(0, start);
    rest.erase(0, end);
    if (has_magic(name)) {
      folders_.push_back(listed(std::move(known), name, std::move(rest)));
      return;
    }
    known += name;
    if (rest.empty()) {
      if (exists(known)) ready_ = std::move(known);
      return;
    }
  }
}

Found::Folder Found::listed(std::string known, const std::string& name, std::string rest) {
  Folder folder{std::move(known), std::move(rest), {}, {}};
  const std::u32string pattern = decode(name);
  // No folder, or none that may be read: nothing there is found.
  const std::unique_ptr<DIR, Close> entries(
      opendir(folder.known.empty() ? "." : folder.known.c_str()));
  while (const dirent* const entry = entries ? readdir(entries.get()) : nullptr) {
    const std::string found = entry->d_name;
    if (found == "." || found == ".." || (found[0] == '.' && name[0] != '.')) continue;
    if (!matches(pattern, found)) continue;
    folder.order.push_back(folder.names.size());
    folder.names.append(found.c_str(), found.size() + 1);
  }
  // Where the path goes on, it does so with a slash, which counts in its order.
  const std::uint8_t end = folder.rest.empty() ? 0 : '/';
  std::sort(folder.order.begin(), folder.order.end(), [&](std::size_t one, std::size_t other) {
    const char* a = &folder.names[one];
    const char* b = &folder.names[other];
    for (; *a != 0 && *a == *b; ++a) ++b;
    const auto byte = [end](char c) { return c == 0 ? end : static_cast<std::uint8_t>(c); };
    return byte(*a) < byte(*b);
  });
  return folder;
}

std::vector<std::string> expand(const std::string& pattern) {
  std::vector<std::string> paths;
  Found found(pattern);
  while (std::optional<std::string> path = found.next()) paths.push_back(*std::move(path));
  return paths;
}

std::optional<Named> Names::next() {
  if (!hold(1)) return {};
  Named name = std::move(ready_.front());
  ready_.pop_front();
  return name;
}

bool Names::hold(std::size_t count) {
  while (ready_.size() < count && look()) continue;
  return ready_.size() >= count;
}

/// Adds the next name; false after the last.
bool Names::look() {
  for (;;) {
    if (!found_) {
      if (pattern_ == patterns_.size()) return false;
      found_.emplace(patterns_[pattern_++]);
      vain_ = true;
    }
    if (std::optional<std::string> path = found_->next()) {
      ready_.push_back({*std::move(path), true});
      vain_ = false;
      return true;
    }
    found_.reset();
    if (vain_) {
      ready_.push_back({patterns_[pattern_ - 1], false});
      return true;
    }
  }
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  const auto escape = [&result](char32_t unit) {
    char word[16];
    std::snprintf(word, sizeof word, "\\u%04x", static_cast<unsigned>(unit));
    result += word;
  };
  for (const char32_t character : decode(text)) {
    constexpr char kShort[] = "\"\\\b\f\n\r\t";
    const auto* const found = std::find(kShort, kShort + 7, static_cast<char>(character));
    if (character < 0x80 && found != kShort + 7) {
      result += {'\\', "\"\\bfnrt"[found - kShort]};
    } else if (character >= 0x20 && character < 0x7f) {
      result += static_cast<char>(character);
    } else if (character < 0x10000) {
      escape(character);
    } else {
      escape(0xd800 + ((character - 0x10000) >> 10));
      escape(0xdc00 + ((character - 0x10000) & 0x3ff));
    }
  }
  return result + '"';
}

}  // namespace torchcrate

#pragma once

#include <string>
#include <vector>

/// Returns the files that a pattern of --image names, sorted by bytes; nothing if none
/// does. Mirrors names.py, where the language of patterns is described.
[[nodiscard]] std::vector<std::string> expand(const std::string& pattern);

/// Returns `text` as a string of JSON in ASCII. A byte that is no UTF-8 becomes
/// \udc80 to \udcff, so that no two names look alike; Python reads and writes it so.
[[nodiscard]] std::string quoted(const std::string& text);

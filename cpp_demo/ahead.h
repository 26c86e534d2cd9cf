#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "names.h"

namespace torchcrate {

using Piece = std::vector<Named>;  ///< what one thread answers at a time

/// Text for stdout, then text for stderr.
struct Said {
  std::string out, err;
};

/// What threads do with pieces, one after the other or at once.
struct Tasks {
  /// Fills the next piece; false when there is none. Never called twice at a time.
  std::function<bool(Piece&)> take;

  /// Answers a piece, in as many parts as it likes; called by several threads at once.
  std::function<void(const Piece&, const std::function<void(Said)>& say)> answer;

  /// Gets all that was said in the order of the pieces. Never called twice at a time.
  std::function<void(const Said&)> deliver;
};

/// Does `tasks` in up to `threads` threads, of which the caller is one; another one is started
/// only while there is a piece to take.
///
/// No more than two pieces a thread are under way, and what is said ahead of its turn waits: memory
/// stays flat however slowly `deliver` is. An exception of any function is thrown in its place:
/// what comes before it is delivered, and nothing that comes after.
void in_order(std::size_t threads, const Tasks& tasks);

}  // namespace torchcrate

#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ahead.h"
#include "names.h"
#include "script_model.h"

namespace torchcrate {

/// Takes the paths that patterns name in pieces: small ones first, so that answers begin to come
/// early and few images are shared out well.
class Pieces {
 public:
  explicit Pieces(std::vector<std::string> patterns) : names_(std::move(patterns)) {}

  /// Fills `piece`; false when no path is left.
  bool take(Piece& piece);

  /// Whether at least so many are named; expands no more patterns than that takes.
  [[nodiscard]] bool hold(std::size_t count) { return names_.hold(count); }

 private:
  Names names_;
  std::size_t taken_ = 0;
};

/// Answers images with a model. It reads images if its only required input means "image" and is
/// uint8[batch, 1 or 3, height, width] with all its values. Mirrors pictures.py.
class Pictures {
 public:
  /// @throws UsageError if `model` does not read images.
  Pictures(const ScriptModel& model, bool json);

  /// Says of each path of a piece what the model answers, or why it does not, in order; may be
  /// called from several threads at once.
  /// @throws ContractError if the model breaks its contract.
  /// @throws RunnerError if it fails.
  void answer(const Piece& piece, const std::function<void(Said)>& say) const;

 private:
  struct Batch;

  void add(const Named& named, Batch& batch) const;
  void flush(Batch& batch) const;
  void require_size(std::int64_t height, std::int64_t width) const;

  const ScriptModel& model_;
  const bool json_;
  std::size_t place_ = 0;    ///< of the image among the inputs
  std::size_t largest_ = 1;  ///< images that one call may take
};

}  // namespace torchcrate

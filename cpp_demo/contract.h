#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tensor.h"

namespace torchcrate {

/// One axis of a contract: a fixed size, or a word for a free one.
struct Axis {
  std::int64_t size;  ///< 0 if free
  std::string word;   ///< as the contract has it
};

/// The values that a tensor may hold, where its dtype has others.
struct Bounds {
  double low, high;   ///< as the dtype holds them; infinite where there is no end
  std::string words;  ///< for people: "0 to 9", "0 or more" or "9 or less"
};

/// One named tensor of a contract.
struct TensorSpec {
  std::string name;
  std::string dtype;  ///< one of kDTypes
  std::vector<Axis> axes;
  std::string meaning;           ///< what the values are; some words of it act, see pictures.h
  bool optional = false;         ///< whether a call may leave it out; never so for outputs
  std::optional<Bounds> bounds;  ///< of its values; nothing if it may hold all of its dtype's
};

/// The smallest and the largest size of an axis; without a largest it is unlimited.
struct Limits {
  std::int64_t minimum = 1;
  std::optional<std::int64_t> maximum;

  [[nodiscard]] bool hold(std::int64_t size) const {
    return size >= minimum && size <= maximum.value_or(size);
  }

  /// Returns them for people: "28", "1 to 512" or "1 or more".
  [[nodiscard]] std::string words() const;
};

/// The size of each free axis in one call, and the tensor that has it.
using Sizes = std::map<std::string, std::pair<std::int64_t, std::string>>;

/// What goes into a network and what comes out. Mirrors the contract.py of the runners.
struct Contract {
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<std::string> labels;  ///< a word for each position of the first output's last axis
  std::map<std::string, Limits> sizes;  ///< of free axes, by their word

  /// Returns the size of each free axis of `given`, one tensor for each input. Values are read
  /// where the contract has bounds for them.
  /// @throws ContractError if one that is not optional is absent, or one breaks the contract.
  [[nodiscard]] Sizes check_inputs(const Given& given) const;

  /// Holds `answers` against the contract and the sizes of the inputs.
  /// @throws ContractError if their number differs, or one breaks the contract.
  void check_outputs(const std::vector<Tensor>& answers, Sizes call) const;

  /// Returns the limits of an axis; both are its size if that is fixed.
  [[nodiscard]] Limits limits_of(const Axis& axis) const;

  /// Reads the JSON that an exported model carries; `text` is empty if it carries none.
  /// @throws ContractError if it is no contract.
  [[nodiscard]] static Contract parse(const std::string& text);
};

}  // namespace torchcrate

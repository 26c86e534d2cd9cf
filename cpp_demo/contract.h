#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tensor.h"

/// One axis of a contract: a fixed size, or a word for a free one.
struct Axis {
  std::int64_t size;  ///< 0 if free
  std::string word;   ///< as the contract has it
};

/// One named tensor of a contract.
struct TensorSpec {
  std::string name;
  std::string dtype;  ///< "uint8", "float32", ...
  std::vector<Axis> axes;
  std::string meaning;  ///< "image" makes --image work

  /// @throws ContractError if the dtype, the rank or an axis of `tensor` differs.
  void check(const Tensor& tensor) const;
};

/// What goes into a network and what comes out. Mirrors contract.py.
struct Contract {
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<std::string> labels;  ///< a word for each position of the first output

  /// Reads the JSON that an exported model carries.
  /// @throws ContractError if it is no contract.
  [[nodiscard]] static Contract parse(const std::string& text);
};

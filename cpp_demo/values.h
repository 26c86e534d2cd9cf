#pragma once

#include <string>
#include <vector>

#include "tensor.h"

namespace torchcrate {

/// Returns the elements of a tensor; bool as 0 and 1.
[[nodiscard]] std::vector<double> widened(const Tensor& tensor);

/// Returns the tensor at one position of the first axis, without this axis.
[[nodiscard]] Tensor row_of(const Tensor& tensor, std::size_t row);

/// Appends a tensor as nested lists of JSON, as Python's json prints `tolist()`: numbers
/// round-trip, and those that JSON has no word for, NaN and infinities, are null.
void append_json(std::string& line, const Tensor& tensor);

/// Appends numbers as elements of one dtype, rounded to the nearest where it has fractions. Both
/// return whether there is such an element; if not, nothing is appended.
struct Appender {
  bool (*whole)(Bytes& data, std::int64_t value);
  bool (*real)(Bytes& data, double value);
};

/// @throws ContractError if `dtype` is unknown.
[[nodiscard]] Appender appender(const std::string& dtype);

}  // namespace torchcrate

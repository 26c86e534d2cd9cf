#pragma once

#include <charconv>
#include <string>
#include <vector>

#include "tensor.h"

namespace torchcrate {

/// The least and the greatest of some numbers; both are NaN if one of them is.
struct Range {
  double low, high;
};

/// Returns the range of a tensor's elements; of none it is infinity to -infinity.
[[nodiscard]] Range range_of(const Tensor& tensor);

/// Returns the range of all that a dtype can hold, infinities among it.
/// @throws ContractError if `dtype` is unknown.
[[nodiscard]] Range range_of(const std::string& dtype);

/// Returns a number as a dtype with fractions holds it; for any other dtype unchanged.
/// @throws ContractError if `dtype` is unknown.
[[nodiscard]] double nearest(const std::string& dtype, double value);

/// Returns a number as Python's repr has it, without the ".0" of a whole one, in any locale.
[[nodiscard]] std::string written(double value);

/// Returns a number with so many digits as Python's format has it, in any locale.
[[nodiscard]] std::string formatted(double value, std::chars_format format, int digits);

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

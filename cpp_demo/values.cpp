#include "values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "errors.h"

namespace torchcrate {

namespace {

/// IEEE 754 binary16, which C++ has no name for.
struct Half {
  std::uint16_t bits;
};

double to_double(Half half) {
  const int exponent = half.bits >> 10 & 0x1f;
  const double fraction = half.bits & 0x3ff;
  double value =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(fraction + 1024, exponent - 25);
  if (exponent == 31) value = fraction == 0 ? INFINITY : NAN;
  return (half.bits & 0x8000) != 0 ? -value : value;
}

Half rounded(double value, Half) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  const double size = std::abs(value);
  std::uint16_t bits = 0x7e00;
  if (size >= 65520) {  // half way to what would follow the largest number
    bits = 0x7c00;
  } else if (!std::isnan(size)) {
    // In units of the last place; rounding up into the next exponent gives the right bits, too.
    const int exponent = std::max(size == 0 ? -14 : std::ilogb(size), -14);
    const double units = std::nearbyint(std::ldexp(size, 10 - exponent));
    bits = static_cast<std::uint16_t>(((exponent + 14) << 10) + static_cast<int>(units));
  }
  return {static_cast<std::uint16_t>(sign | bits)};
}

template <typename Number>
double to_double(Number number) {
  return static_cast<double>(number);
}

template <typename Number>
Number rounded(double value, Number) {
  return static_cast<Number>(value);
}

void print(std::string& line, double value) {
  if (!std::isfinite(value)) {
    line += "null";
    return;
  }
  const std::string text = written(value);
  line += text;
  if (text.find_first_of(".e") == std::string::npos) line += ".0";  // it is no integer
}

void print(std::string& line, std::int64_t value) { line += std::to_string(value); }
void print(std::string& line, float value) { print(line, double{value}); }
void print(std::string& line, Half value) { print(line, to_double(value)); }
void print(std::string& line, bool value) { line += value ? "true" : "false"; }

/// Calls `work` with a value of the type that a dtype is in C++.
template <typename Work>
auto with_type(const std::string& dtype, Work work) {
  if (dtype == "float32") return work(float{});
  if (dtype == "float64") return work(double{});
  if (dtype == "float16") return work(Half{});
  if (dtype == "int64") return work(std::int64_t{});
  if (dtype == "int32") return work(std::int32_t{});
  if (dtype == "int16") return work(std::int16_t{});
  if (dtype == "int8") return work(std::int8_t{});
  if (dtype == "uint8") return work(std::uint8_t{});
  if (dtype == "bool") return work(bool{});
  throw ContractError("dtype " + dtype + " is unknown to this program");
}

template <typename Number>
Number load(const std::uint8_t* at) {
  Number number;
  std::memcpy(&number, at, sizeof number);
  return number;
}

template <>
bool load(const std::uint8_t* at) {
  return *at != 0;  // a byte of a file may hold anything
}

template <typename Number>
void print_list(std::string& line, const Tensor& tensor, std::size_t axis,
                const std::uint8_t*& at) {
  if (axis == tensor.shape.size()) {
    if constexpr (std::is_integral_v<Number> && !std::is_same_v<Number, bool>) {
      print(line, static_cast<std::int64_t>(load<Number>(at)));
    } else {
      print(line, load<Number>(at));
    }
    at += sizeof(Number);
    return;
  }
  line += '[';
  for (std::int64_t i = 0; i < tensor.shape[axis]; ++i) {
    if (i > 0) line += ", ";
    print_list<Number>(line, tensor, axis + 1, at);
  }
  line += ']';
}

template <typename Number>
bool append(Bytes& data, Number number) {
  const auto* const bytes = reinterpret_cast<const std::uint8_t*>(&number);
  data.insert(data.end(), bytes, bytes + sizeof number);
  return true;
}

template <typename Number>
bool append_real(Bytes& data, double value) {
  if constexpr (std::is_same_v<Number, Half> || std::is_floating_point_v<Number>) {
    const Number number = rounded(value, Number{});
    const bool beyond = std::isfinite(value) && !std::isfinite(to_double(number));
    return !beyond && append(data, number);
  } else {
    return false;
  }
}

template <typename Number>
bool append_whole(Bytes& data, std::int64_t value) {
  if constexpr (std::is_same_v<Number, bool>) {
    return false;
  } else if constexpr (std::is_integral_v<Number>) {
    using Range = std::numeric_limits<Number>;
    return value >= Range::min() && value <= Range::max() &&
           append(data, static_cast<Number>(value));
  } else {
    return append_real<Number>(data, static_cast<double>(value));
  }
}

}  // namespace

Range range_of(const Tensor& tensor) {
  return with_type(tensor.dtype, [&tensor](auto type) {
    Range range{INFINITY, -INFINITY};
    for (std::size_t at = 0; at + sizeof type <= tensor.data.size(); at += sizeof type) {
      const double value = to_double(load<decltype(type)>(tensor.data.data() + at));
      if (std::isnan(value)) return Range{value, value};
      range = {std::min(range.low, value), std::max(range.high, value)};
    }
    return range;
  });
}

Range range_of(const std::string& dtype) {
  return with_type(dtype, [](auto type) -> Range {
    if constexpr (std::is_integral_v<decltype(type)>) {
      using Limits = std::numeric_limits<decltype(type)>;
      return {to_double(Limits::min()), to_double(Limits::max())};
    } else {
      return {-INFINITY, INFINITY};
    }
  });
}

double nearest(const std::string& dtype, double value) {
  return with_type(dtype, [value](auto type) {
    return std::is_integral_v<decltype(type)> ? value : to_double(rounded(value, type));
  });
}

std::string written(double value) {
  if (std::isnan(value)) return "nan";  // some have a sign, which tells nothing
  const double size = std::abs(value);
  const bool plain = size == 0 || (size >= 1e-4 && size < 1e16);
  char text[32];
  const auto format = plain ? std::chars_format::fixed : std::chars_format::scientific;
  return {text, std::to_chars(text, text + sizeof text, value, format).ptr};
}

std::string formatted(double value, std::chars_format format, int digits) {
  if (std::isnan(value)) return "nan";
  char text[400];  // the largest number has 309 in front of the point
  return {text, std::to_chars(text, text + sizeof text, value, format, digits).ptr};
}

std::vector<double> widened(const Tensor& tensor) {
  return with_type(tensor.dtype, [&tensor](auto type) {
    std::vector<double> values(tensor.data.size() / sizeof type);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = to_double(load<decltype(type)>(tensor.data.data() + i * sizeof type));
    }
    return values;
  });
}

Tensor row_of(const Tensor& tensor, std::size_t row) {
  const std::size_t size = tensor.data.size() / static_cast<std::size_t>(tensor.shape.at(0));
  const auto first = tensor.data.begin() + static_cast<std::ptrdiff_t>(row * size);
  return {tensor.dtype,
          {tensor.shape.begin() + 1, tensor.shape.end()},
          {first, first + static_cast<std::ptrdiff_t>(size)}};
}

void append_json(std::string& line, const Tensor& tensor) {
  const std::uint8_t* at = tensor.data.data();
  with_type(tensor.dtype, [&](auto type) { print_list<decltype(type)>(line, tensor, 0, at); });
}

Appender appender(const std::string& dtype) {
  return with_type(dtype, [](auto type) {
    return Appender{append_whole<decltype(type)>, append_real<decltype(type)>};
  });
}

}  // namespace torchcrate

#include "safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace torchcrate {

namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxHeader = 100'000'000;  // bytes, the format's own limit

const DType& dtype_of(const std::string& safetensors) {
  for (const DType& dtype : kDTypes) {
    if (safetensors == dtype.safetensors) return dtype;
  }
  throw SafeTensorsError("unknown dtype " + safetensors);
}

/// Parses the header and refuses a name that stands in it twice.
json parse_header(const std::uint8_t* begin, const std::uint8_t* end) {
  std::vector<std::set<std::string>> open;
  const auto watch = [&open](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) {
      open.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      open.pop_back();
    } else if (event == json::parse_event_t::key &&
               !open.back().insert(value.get<std::string>()).second) {
      throw SafeTensorsError("the header names " + value.get<std::string>() + " twice");
    }
    return true;
  };
  // JSON has no zero byte, and the parser would take one for the end.
  if (std::find(begin, end, 0) != end) throw SafeTensorsError("the header is not JSON");
  try {
    json header = json::parse(begin, end, watch);
    if (!header.is_object()) throw SafeTensorsError("the header is not an object");
    return header;
  } catch (const json::exception&) {
    throw SafeTensorsError("the header is not JSON");
  }
}

/// Returns the bytes that a shape asks for; they fit into `most`.
std::uint64_t size_of(const std::vector<std::int64_t>& shape, std::uint64_t element,
                      std::uint64_t most) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::uint64_t size = element;
  for (const std::int64_t axis : shape) {
    const auto count = static_cast<std::uint64_t>(axis);
    if (size > most / count) throw SafeTensorsError("a shape exceeds the data");
    size *= count;
  }
  return size;
}

/// Returns a list of numbers >= 0.
/// @throws SafeTensorsError if `value` is anything else.
std::vector<std::int64_t> numbers(const json& value) {
  std::vector<std::int64_t> result;
  if (!value.is_array()) throw SafeTensorsError("a list of numbers is missing");
  for (const json& number : value) {
    if (!number.is_number_unsigned() ||
        number.get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
      throw SafeTensorsError("a list holds something else than sizes");
    }
    result.push_back(number.get<std::int64_t>());
  }
  return result;
}

}  // namespace

std::uint64_t require_header(const Bytes& first, std::uint64_t size) {
  if (first.size() < 8) throw SafeTensorsError("the file is shorter than 8 bytes");
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | first[static_cast<std::size_t>(i)];
  if (length > kMaxHeader) throw SafeTensorsError("the header is longer than 100 MB");
  if (length > size - 8) throw SafeTensorsError("the header is truncated");
  return length;
}

SafeTensors parse_safetensors(const Bytes& file) {
  const std::uint64_t length = require_header(file, file.size());
  const std::uint8_t* data = file.data() + 8 + length;
  const std::uint64_t size = file.size() - 8 - length;
  SafeTensors result;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> spans;
  const json header = parse_header(file.data() + 8, data);
  try {
    for (const auto& [name, value] : header.items()) {
      if (name == "__metadata__") {
        value.get_to(result.metadata);
        continue;
      }
      const DType dtype = dtype_of(value.at("dtype").get<std::string>());
      Tensor tensor{dtype.word, numbers(value.at("shape")), {}};
      const std::vector<std::int64_t> offsets = numbers(value.at("data_offsets"));
      if (offsets.size() != 2 || offsets[0] > offsets[1] ||
          static_cast<std::uint64_t>(offsets[1]) > size) {
        throw SafeTensorsError(name + " lies outside the data");
      }
      if (size_of(tensor.shape, dtype.size, size) !=
          static_cast<std::uint64_t>(offsets[1] - offsets[0])) {
        throw SafeTensorsError(name + " has another size than its shape");
      }
      tensor.data.assign(data + offsets[0], data + offsets[1]);
      spans.emplace_back(offsets[0], offsets[1]);
      result.tensors.emplace(name, std::move(tensor));
    }
  } catch (const json::exception&) {
    throw SafeTensorsError("an entry of the header is incomplete");
  }
  std::sort(spans.begin(), spans.end());
  std::uint64_t end = 0;
  for (const auto& [from, to] : spans) {
    if (from != end) throw SafeTensorsError("tensors overlap or leave a gap");
    end = to;
  }
  if (end != size) throw SafeTensorsError("bytes follow the last tensor");
  return result;
}

Bytes dump_safetensors(const Tensors& tensors) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::uint64_t at = 0;
  for (const auto& [name, tensor] : tensors) {
    const auto* const dtype =
        std::find_if(std::begin(kDTypes), std::end(kDTypes),
                     [&word = tensor.dtype](const DType& known) { return word == known.word; });
    if (dtype == std::end(kDTypes)) throw SafeTensorsError("unknown dtype " + tensor.dtype);
    header[name] = {{"dtype", dtype->safetensors},
                    {"shape", tensor.shape},
                    {"data_offsets", {at, at + tensor.data.size()}}};
    at += tensor.data.size();
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data begins at a multiple of 8
  Bytes file;
  file.reserve(8 + text.size() + at);
  for (int shift = 0; shift < 64; shift += 8) {
    file.push_back(static_cast<std::uint8_t>(text.size() >> shift & 0xff));
  }
  file.insert(file.end(), text.begin(), text.end());
  for (const auto& [name, tensor] : tensors) {
    file.insert(file.end(), tensor.data.begin(), tensor.data.end());
  }
  return file;
}

}  // namespace torchcrate

#include "contract.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "errors.h"
#include "values.h"

namespace torchcrate {

namespace {

using nlohmann::json;

constexpr int kMaxDepth = 64;  // what copies or reads JSON calls itself for each level

[[noreturn]] void refuse(const std::string& why) { throw ContractError("not a contract: " + why); }

bool is_count(const json& value, std::int64_t least) {
  return value.is_number_integer() &&
         !(value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX) &&
         value.get<std::int64_t>() >= least;
}

bool is_axis(const json& value) {
  return value.is_string() ? !value.get_ref<const std::string&>().empty() : is_count(value, 1);
}

bool is_end(const json& value) { return value.is_null() || value.is_number(); }

bool is_tensor(const json& entry) {
  const auto is_word = [&entry](const char* key) {
    return entry.contains(key) && entry[key].is_string();
  };
  if (!entry.is_object() || !is_word("name") || !is_word("dtype") || !is_word("meaning") ||
      !entry.contains("axes") || !entry["axes"].is_array() || entry["name"] == "") {
    return false;
  }
  return std::any_of(std::begin(kDTypes), std::end(kDTypes),
                     [&](const DType& dtype) { return entry["dtype"] == dtype.word; }) &&
         std::all_of(entry["axes"].begin(), entry["axes"].end(), is_axis) &&
         entry.value("optional", json(false)).is_boolean() &&
         is_end(entry.value("minimum", json())) && is_end(entry.value("maximum", json()));
}

/// Returns the bounds of a tensor's values; nothing if its dtype has no others.
std::optional<Bounds> bounds_from(const json& entry) {
  const std::string dtype = entry["dtype"];
  const auto end = [&entry](const char* key, double none) {
    const json value = entry.value(key, json());
    return value.is_null() ? none : value.get<double>();
  };
  const double low = end("minimum", -INFINITY);
  const double high = end("maximum", INFINITY);
  const auto [least, most] = range_of(dtype);
  if (low <= least && high >= most) return {};
  std::string words = written(low) + " to " + written(high);
  if (std::isinf(low) || std::isinf(high)) {
    words = std::isinf(high) ? written(low) + " or more" : written(high) + " or less";
  } else if (low == high) {
    words = written(low);
  }
  return Bounds{nearest(dtype, low), nearest(dtype, high), words};
}

std::vector<TensorSpec> tensors_of(const json& contract, const char* side) {
  const json entries = contract.value(side, json());
  if (!entries.is_array() || entries.empty() ||
      !std::all_of(entries.begin(), entries.end(), is_tensor)) {
    refuse(std::string(side) + " is no list of tensors with their axes");
  }
  std::vector<TensorSpec> result;
  for (const json& entry : entries) {
    TensorSpec spec{
        entry["name"],     entry["dtype"], {}, entry["meaning"], entry.value("optional", false),
        bounds_from(entry)};
    for (const json& axis : entry["axes"]) {
      if (axis.is_string()) {
        spec.axes.push_back({0, axis});
      } else {
        spec.axes.push_back({axis.get<std::int64_t>(), axis.dump()});
      }
    }
    result.push_back(std::move(spec));
  }
  return result;
}

Limits limits_from(const std::string& word, const json& entry) {
  if (entry.is_object()) {
    const json minimum = entry.value("minimum", json(1));
    const json maximum = entry.value("maximum", json());
    if (is_count(minimum, 0) && (maximum.is_null() || is_count(maximum, minimum))) {
      Limits limits{minimum, {}};
      if (!maximum.is_null()) limits.maximum = maximum.get<std::int64_t>();
      return limits;
    }
  }
  refuse("the limits of " + word + " are no sizes");
}

void require_sound_names(const Contract& contract) {
  std::set<std::string> names;
  for (const auto* side : {&contract.inputs, &contract.outputs}) {
    for (const TensorSpec& spec : *side) {
      if (!names.insert(spec.name).second) refuse("two tensors are called " + spec.name);
    }
  }
  for (const TensorSpec& spec : contract.outputs) {
    if (spec.optional) refuse("an output is optional");
  }
}

/// Joins words like Python's ", ".join.
template <typename Items, typename ToWord>
std::string join(const Items& items, ToWord word) {
  std::string result;
  for (const auto& item : items) result += (result.empty() ? "" : ", ") + word(item);
  return result;
}

/// Refuses a tensor that does not fit `spec`; adds its free axes to `call`.
void check(const Contract& contract, const TensorSpec& spec, const Tensor& tensor, Sizes& call) {
  bool fits = tensor.dtype == spec.dtype && tensor.shape.size() == spec.axes.size();
  for (std::size_t i = 0; fits && i < spec.axes.size(); ++i) {
    fits = spec.axes[i].size == 0 || tensor.shape[i] == spec.axes[i].size;
  }
  const auto number = [](std::int64_t size) { return std::to_string(size); };
  if (!fits) {
    throw ContractError(spec.name + " is " + tensor.dtype + "(" + join(tensor.shape, number) +
                        "), the contract has " + spec.dtype + "(" +
                        join(spec.axes, [](const Axis& axis) { return axis.word; }) + ")");
  }
  for (std::size_t i = 0; i < spec.axes.size(); ++i) {
    if (spec.axes[i].size != 0) continue;
    const std::string& word = spec.axes[i].word;
    const std::int64_t size = tensor.shape[i];
    const std::string found = spec.name + " has " + word + " " + number(size) + ", ";
    const Limits limits = contract.limits_of(spec.axes[i]);
    if (!limits.hold(size)) throw ContractError(found + "the contract has " + limits.words());
    const auto& [same, owner] = call.emplace(word, std::pair(size, spec.name)).first->second;
    if (size != same) throw ContractError(found + owner + " has " + number(same));
  }
}

/// Refuses a tensor with a value out of its bounds, the least one first; none holds NaN.
void require_bounds(const TensorSpec& spec, const Tensor& tensor) {
  const Range held = range_of(tensor);
  const Bounds& bounds = *spec.bounds;
  if (tensor.data.empty() || (held.low >= bounds.low && held.high <= bounds.high)) return;
  throw ContractError(spec.name + " holds " +
                      written(held.low >= bounds.low ? held.high : held.low) +
                      ", the contract has " + bounds.words);
}

}  // namespace

std::string Limits::words() const {
  const std::string least = std::to_string(minimum);
  if (!maximum) return least + " or more";
  return *maximum == minimum ? least : least + " to " + std::to_string(*maximum);
}

Sizes Contract::check_inputs(const Given& given) const {
  if (given.size() != inputs.size()) {
    throw ContractError("there are " + std::to_string(given.size()) + " inputs, the contract has " +
                        std::to_string(inputs.size()));
  }
  Sizes call;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (given[i]) {
      check(*this, inputs[i], *given[i], call);
    } else if (!inputs[i].optional) {
      throw ContractError("tensor " + inputs[i].name + " is missing");
    }
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (given[i] && inputs[i].bounds) require_bounds(inputs[i], *given[i]);
  }
  return call;
}

void Contract::check_outputs(const std::vector<Tensor>& answers, Sizes call) const {
  if (answers.size() != outputs.size()) {
    throw ContractError("the model answers with " + std::to_string(answers.size()) +
                        " tensors, the contract has " + std::to_string(outputs.size()));
  }
  for (std::size_t i = 0; i < outputs.size(); ++i) check(*this, outputs[i], answers[i], call);
}

Limits Contract::limits_of(const Axis& axis) const {
  if (axis.size != 0) return {axis.size, axis.size};
  const auto found = sizes.find(axis.word);
  return found == sizes.end() ? Limits{} : found->second;
}

Contract Contract::parse(const std::string& text) {
  if (text.empty()) throw ContractError("it carries no contract");
  json value;
  try {
    value = json::parse(text, [](int depth, json::parse_event_t, json&) {
      if (depth > kMaxDepth) refuse("nested too deeply");
      return true;
    });
  } catch (const json::exception& error) {
    refuse(error.what());
  }
  if (!value.is_object()) refuse("no object of JSON");
  Contract contract{tensors_of(value, "inputs"), tensors_of(value, "outputs"), {}, {}};
  require_sound_names(contract);
  const json labels = value.value("labels", json());
  const auto is_word = [](const json& label) { return label.is_string(); };
  if (!labels.is_array() || !std::all_of(labels.begin(), labels.end(), is_word)) {
    refuse("labels is no list of words");
  }
  labels.get_to(contract.labels);
  const json sizes = value.value("sizes", json::object());
  if (!sizes.is_object()) refuse("sizes is no object of JSON");
  for (const auto& [word, entry] : sizes.items()) {
    contract.sizes.emplace(word, limits_from(word, entry));
  }
  return contract;
}

}  // namespace torchcrate

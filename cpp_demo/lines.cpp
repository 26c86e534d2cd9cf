#include "lines.h"

#include <algorithm>
#include <istream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "errors.h"
#include "values.h"
#include "wording.h"

namespace torchcrate {

namespace {

constexpr std::size_t kMaxAxes = 64;  // as numpy has them; `flatten` calls itself for each

using Json = nlohmann::ordered_json;  // what is foreign is named in the order of the line

/// Appends the innermost values of nested lists; false if the lengths of the lists differ.
bool flatten(const Json& value, const std::vector<std::int64_t>& shape, std::size_t axis,
             std::vector<const Json*>& leaves) {
  if (axis == shape.size()) {
    leaves.push_back(&value);
    return !value.is_array();
  }
  return value.is_array() && static_cast<std::int64_t>(value.size()) == shape[axis] &&
         std::all_of(value.begin(), value.end(),
                     [&](const Json& part) { return flatten(part, shape, axis + 1, leaves); });
}

/// Appends a number, or a truth; false if the dtype has no such number.
bool append(const Appender& to, Bytes& data, const Json& leaf) {
  if (leaf.is_boolean()) {
    data.push_back(leaf.get<bool>() ? 1 : 0);
    return true;
  }
  const bool large = leaf.is_number_unsigned() && leaf.get<std::uint64_t>() > INT64_MAX;
  if (large || leaf.is_number_float()) return to.real(data, leaf.get<double>());
  return to.whole(data, leaf.get<std::int64_t>());
}

/// Returns the tensor that `value` writes for `spec`.
/// @throws ContractError if it writes none.
Tensor tensor_of(const Contract& contract, const TensorSpec& spec, const Json& value) {
  Tensor tensor{spec.dtype, {}, {}};
  for (const Json* inner = &value; inner->is_array(); inner = &inner->front()) {
    tensor.shape.push_back(static_cast<std::int64_t>(inner->size()));
    if (inner->empty()) break;
    if (tensor.shape.size() > kMaxAxes) {
      throw ContractError(spec.name + " is no regular list of numbers");
    }
  }
  std::vector<const Json*> leaves;
  if (!flatten(value, tensor.shape, 0, leaves)) {
    throw ContractError(spec.name + " is no regular list of numbers");
  }
  if (leaves.empty()) {
    for (std::size_t i = tensor.shape.size(); i < spec.axes.size(); ++i) {
      tensor.shape.push_back(contract.limits_of(spec.axes[i]).minimum);
    }
  }
  const bool truths = spec.dtype == "bool";
  const bool fractions = spec.dtype.rfind("float", 0) == 0;
  for (const Json* leaf : leaves) {
    if (!(truths      ? leaf->is_boolean()
          : fractions ? leaf->is_number()
                      : leaf->is_number_integer())) {
      throw ContractError(spec.name + " holds a value that is no " + spec.dtype);
    }
  }
  const Appender to = appender(spec.dtype);
  for (const Json* leaf : leaves) {
    if (!append(to, tensor.data, *leaf)) {
      throw ContractError(spec.name + " holds a number beyond " + spec.dtype);
    }
  }
  return tensor;
}

void require_input(const Contract& contract, const std::string& name) {
  std::string names;
  for (const TensorSpec& spec : contract.inputs) {
    if (spec.name == name) return;
    names += (names.empty() ? "" : ", ") + spec.name;
  }
  throw ContractError(name + " is no input, the contract has " + names);
}

Given given_by(const Contract& contract, const std::string& line) {
  Json call;
  try {
    // JSON has no zero byte, and the parser would take one for the end.
    if (line.find('\0') != std::string::npos) throw ContractError("not an object of JSON");
    call = Json::parse(line);
  } catch (const Json::out_of_range&) {
    throw ContractError("a number is beyond float64");
  } catch (const Json::exception&) {
    throw ContractError("not an object of JSON");
  }
  if (!call.is_object()) throw ContractError("not an object of JSON");
  for (const auto& [name, value] : call.items()) require_input(contract, name);
  Given given;
  for (const TensorSpec& spec : contract.inputs) {
    const auto value = call.find(spec.name);
    given.emplace_back();
    if (value != call.end() && !value->is_null()) given.back() = tensor_of(contract, spec, *value);
  }
  return given;
}

}  // namespace

int answer_lines(const ScriptModel& model, std::istream& in, std::ostream& out,
                 std::ostream& errors) {
  int code = 0;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line); ++number) {
    std::string reason;
    std::string said;
    try {
      said = json_outputs(model.contract(), model.run(given_by(model.contract(), line)));
    } catch (const CrateError& error) {
      code = 1;
      reason = "line " + std::to_string(number) + ": " + error.what();
      said = json_error(std::nullopt, reason);
    }
    deliver(out, said + '\n');
    if (!reason.empty()) errors << "Error: " << reason << '\n';
  }
  if (in.bad()) throw RunnerError("cannot read the calls on stdin");
  return code;
}

}  // namespace torchcrate

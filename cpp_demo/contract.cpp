#include "contract.h"

#include <nlohmann/json.hpp>

#include "errors.h"

namespace {

using nlohmann::json;

std::vector<TensorSpec> specs(const json& entries) {
  std::vector<TensorSpec> result;
  for (const json& entry : entries) {
    TensorSpec spec{entry.at("name"), entry.at("dtype"), {}, entry.at("meaning")};
    for (const json& axis : entry.at("axes")) {
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

/// Joins words like Python's ", ".join.
template <typename Items, typename ToWord>
std::string join(const Items& items, ToWord word) {
  std::string result;
  for (const auto& item : items) result += (result.empty() ? "" : ", ") + word(item);
  return result;
}

}  // namespace

void TensorSpec::check(const Tensor& tensor) const {
  bool fits = tensor.dtype == dtype && tensor.shape.size() == axes.size();
  for (std::size_t i = 0; fits && i < axes.size(); ++i) {
    fits = axes[i].size == 0 ? tensor.shape[i] >= 1 : tensor.shape[i] == axes[i].size;
  }
  if (fits) return;
  const auto number = [](std::int64_t size) { return std::to_string(size); };
  throw ContractError(name + " is " + tensor.dtype + "(" + join(tensor.shape, number) +
                      "), the contract has " + dtype + "(" +
                      join(axes, [](const Axis& axis) { return axis.word; }) + ")");
}

Contract Contract::parse(const std::string& text) {
  try {
    const json value = json::parse(text);
    Contract contract{specs(value.at("inputs")), specs(value.at("outputs")), value.at("labels")};
    if (contract.inputs.empty() || contract.outputs.empty()) {
      throw ContractError("the contract has no inputs or no outputs");
    }
    return contract;
  } catch (const json::exception& error) {
    throw ContractError(std::string("not a contract: ") + error.what());
  }
}

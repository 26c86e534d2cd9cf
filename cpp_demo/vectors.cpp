#include "vectors.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "errors.h"
#include "values.h"

namespace torchcrate {

namespace fs = std::filesystem;

namespace {

using Cases = std::map<std::string, Given>;  // by what stands before the names: "" or "CASE."

SafeTensors read_tensors(const fs::path& path) {
  const std::string what = "cannot read " + path.string() + " as safetensors: ";
  try {
    if (fs::is_regular_file(path)) require_header(read_file(path, 8), fs::file_size(path));
    return parse_safetensors(read_file(path));
  } catch (const SafeTensorsError& error) {
    throw ContractError(what + error.what());
  } catch (const std::system_error& error) {
    throw ContractError(what + reason(error));
  }
}

/// Returns what stands before the longest of the names that `key` ends in; nothing if in none.
std::optional<std::string> case_of(const std::string& key, const std::vector<TensorSpec>& side) {
  std::optional<std::string> found;
  for (const TensorSpec& spec : side) {
    if (key.size() < spec.name.size()) continue;
    const std::string stem = key.substr(0, key.size() - spec.name.size());
    const bool ends = key.compare(stem.size(), std::string::npos, spec.name) == 0;
    if (!ends || !(stem.empty() || stem.back() == '.')) continue;
    if (!found || stem.size() < found->size()) found = stem;
  }
  return found;
}

/// Returns the tensors of one side of a contract by case.
/// @throws ContractError if there is no case, or one lacks a tensor that is not optional.
Cases cases_of(const Tensors& tensors, const std::vector<TensorSpec>& side) {
  Cases cases;
  std::string keys;
  for (const auto& [key, tensor] : tensors) {
    keys += (keys.empty() ? "" : ", ") + key;
    const std::optional<std::string> name = case_of(key, side);
    if (name) cases[*name].resize(side.size());
  }
  if (cases.empty()) {
    throw ContractError("tensor " + side.front().name + " is missing; found " +
                        (keys.empty() ? "none" : keys));
  }
  for (auto& [name, members] : cases) {
    for (std::size_t i = 0; i < side.size(); ++i) {
      const auto member = tensors.find(name + side[i].name);
      if (member != tensors.end()) {
        members[i] = member->second;
      } else if (!side[i].optional) {
        throw ContractError("tensor " + name + side[i].name + " is missing");
      }
    }
  }
  return cases;
}

/// Returns the limit that golden vectors state for `where`, NaN if they state none.
double limit_of(const SafeTensors& golden, const std::string& where) {
  const auto limits = golden.metadata.find("limits");
  if (limits == golden.metadata.end()) return NAN;
  const auto value = nlohmann::json::parse(limits->second, nullptr, false);
  const bool stated = value.is_object() && value.contains(where) && value[where].is_number();
  return stated ? value[where].get<double>() : NAN;
}

std::string scientific(double value) { return formatted(value, std::chars_format::scientific, 1); }

const std::string& first_required(const Contract& contract) {
  for (const TensorSpec& spec : contract.inputs) {
    if (!spec.optional) return spec.name;
  }
  return contract.inputs.front().name;
}

}  // namespace

double difference(const Tensor& got, const Tensor& want) {
  if (got.shape != want.shape || got.dtype != want.dtype) return NAN;
  const std::vector<double> ours = widened(got);
  const std::vector<double> theirs = widened(want);
  double largest = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    if (ours[i] == theirs[i]) continue;
    const double off = std::abs(ours[i] - theirs[i]) / (1 + std::abs(theirs[i]));
    if (std::isnan(off)) return off;
    largest = std::max(largest, off);
  }
  return largest;
}

std::size_t flips(const Tensor& got, const Tensor& want, double limit) {
  if (got.shape != want.shape || want.shape.empty() || want.shape.back() < 2) return 0;
  const std::vector<double> ours = widened(got);
  const std::vector<double> theirs = widened(want);
  const auto labels = static_cast<std::ptrdiff_t>(want.shape.back());
  std::size_t count = 0;
  for (auto row = theirs.begin(), mine = ours.begin(); row != theirs.end();
       row += labels, mine += labels) {
    const auto best = std::max_element(row, row + labels);
    double margin = INFINITY;
    for (auto other = row; other != row + labels; ++other) {
      if (other != best) margin = std::min(margin, *best - *other);
    }
    const bool same = std::max_element(mine, mine + labels) - mine == best - row;
    if (!same && margin > limit) ++count;
  }
  return count;
}

void answer_tensors(const ScriptModel& model, const fs::path& source, const fs::path& target) {
  std::error_code ignored;
  if (target.empty() || fs::is_directory(target, ignored)) {  // "" is the current folder
    const std::string name = target.empty() ? "." : target.string();
    throw RunnerError("cannot write " + name + ": is a directory");
  }
  const std::vector<TensorSpec>& outputs = model.contract().outputs;
  Tensors answers;
  for (const auto& [name, given] :
       cases_of(read_tensors(source).tensors, model.contract().inputs)) {
    std::vector<Tensor> answer = model.run(given);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      answers[name + outputs[i].name] = std::move(answer[i]);
    }
  }
  try {
    write_whole(target, dump_safetensors(answers));
  } catch (const std::system_error& error) {
    if (error.code() == std::errc::broken_pipe) throw NobodyReads();
    throw RunnerError("cannot write " + target.string() + ": " + reason(error));
  }
}

std::string selftest(const ScriptModel& model, const fs::path& golden, const std::string& device) {
  const SafeTensors file = read_tensors(golden);
  const std::string limited = device == "cpu" ? "libtorch" : device;
  const double limit = limit_of(file, limited);
  if (std::isnan(limit)) {
    throw ContractError(golden.string() + " has no limit for " + limited);
  }
  const Cases wanted = cases_of(file.tensors, model.contract().outputs);
  const Cases inputs = cases_of(file.tensors, model.contract().inputs);
  double worst = 0;
  std::string where = wanted.begin()->first;
  std::size_t flipped = 0;
  for (const auto& [name, want] : wanted) {
    if (inputs.count(name) == 0) {
      throw ContractError("tensor " + name + first_required(model.contract()) + " is missing");
    }
    const std::vector<Tensor> got = model.run(inputs.at(name));
    for (std::size_t i = 0; i < want.size() && !std::isnan(worst); ++i) {
      const double off = difference(got[i], *want[i]);
      if (off <= worst) continue;
      worst = off;  // nothing is worse than NaN
      where = name;
    }
    if (!model.contract().labels.empty()) flipped += flips(got[0], *want[0], limit);
    if (std::isnan(worst)) break;
  }
  const std::string vectors =
      std::to_string(wanted.size()) + " vectors, worst " + scientific(worst) + " at " +
      where.substr(0, where.find_last_not_of('.') + 1) + ", limit " + scientific(limit);
  if (flipped > 0 || !(worst <= limit)) {
    throw ParityError("selftest failed: " + vectors + ", " + std::to_string(flipped) +
                      " labels flipped");
  }
  return "selftest passed: " + vectors;
}

}  // namespace torchcrate

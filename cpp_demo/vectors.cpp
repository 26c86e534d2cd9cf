#include "vectors.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "errors.h"

namespace fs = std::filesystem;

namespace {

constexpr char kRuntime[] = "libtorch";  // by which golden vectors know our limit

using Cases = std::map<std::string, std::vector<Tensor>>;

SafeTensors read_tensors(const fs::path& path) {
  const std::string what = "cannot read " + path.string() + " as safetensors: ";
  try {
    return parse_safetensors(read_file(path));
  } catch (const SafeTensorsError& error) {
    throw ContractError(what + error.what());
  } catch (const std::system_error& error) {
    throw ContractError(what + reason(error));
  }
}

/// Returns the tensors of one side of a contract by case, "" or "CASE."; all must be whole.
Cases cases_of(const Tensors& tensors, const std::vector<TensorSpec>& side) {
  const std::string& first = side.front().name;
  Cases cases;
  std::string found;
  for (const auto& [key, tensor] : tensors) {
    found += (found.empty() ? "" : ", ") + key;
    const std::size_t stem = key.size() - std::min(key.size(), first.size());
    if (key.compare(stem, std::string::npos, first) != 0) continue;
    if (stem > 0 && key[stem - 1] != '.') continue;
    std::vector<Tensor>& members = cases[key.substr(0, stem)];
    for (const TensorSpec& spec : side) {
      const auto member = tensors.find(key.substr(0, stem) + spec.name);
      if (member == tensors.end()) {
        throw ContractError("tensor " + key.substr(0, stem) + spec.name + " is missing");
      }
      members.push_back(member->second);
    }
  }
  if (cases.empty()) {
    throw ContractError("tensor " + first + " is missing; found " +
                        (found.empty() ? "none" : found));
  }
  return cases;
}

/// Returns the limit for LibTorch that golden vectors state, NaN if they state none.
double limit_of(const SafeTensors& golden) {
  const auto limits = golden.metadata.find("limits");
  if (limits == golden.metadata.end()) return NAN;
  const auto value = nlohmann::json::parse(limits->second, nullptr, false);
  const bool stated = value.is_object() && value.contains(kRuntime) && value[kRuntime].is_number();
  return stated ? value[kRuntime].get<double>() : NAN;
}

template <typename Number>
std::vector<double> widened(const Bytes& data) {
  std::vector<Number> values(data.size() / sizeof(Number));
  if (!values.empty()) std::memcpy(values.data(), data.data(), data.size());
  return {values.begin(), values.end()};
}

/// Returns the elements of a tensor; NaN for each if this program cannot compare its dtype.
std::vector<double> numbers(const Tensor& tensor) {
  const std::string& dtype = tensor.dtype;
  if (dtype == "float32") return widened<float>(tensor.data);
  if (dtype == "float64") return widened<double>(tensor.data);
  if (dtype == "int64") return widened<std::int64_t>(tensor.data);
  if (dtype == "int32") return widened<std::int32_t>(tensor.data);
  if (dtype == "int16") return widened<std::int16_t>(tensor.data);
  if (dtype == "int8") return widened<std::int8_t>(tensor.data);
  if (dtype == "uint8" || dtype == "bool") return widened<std::uint8_t>(tensor.data);
  return std::vector<double>(tensor.data.size(), NAN);
}

/// Formats like Python's `{value:.1e}`, which knows no negative NaN.
std::string scientific(double value) {
  if (std::isnan(value)) return "nan";
  char text[32];
  std::snprintf(text, sizeof text, "%.1e", value);
  return text;
}

}  // namespace

Difference compare(const Tensor& got, const Tensor& want, double limit) {
  if (got.shape != want.shape || got.dtype != want.dtype) return {NAN, 0};
  const std::vector<double> ours = numbers(got);
  const std::vector<double> theirs = numbers(want);
  Difference difference;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const double off = std::abs(ours[i] - theirs[i]) / (1 + std::abs(theirs[i]));
    if (std::isnan(off) || off > difference.largest) difference.largest = off;
    if (std::isnan(off)) return difference;
  }
  const auto classes = want.shape.empty() ? 1 : static_cast<std::ptrdiff_t>(want.shape.back());
  for (auto row = theirs.begin(), mine = ours.begin(); row != theirs.end();
       row += classes, mine += classes) {
    const auto best = std::max_element(row, row + classes);
    double margin = INFINITY;
    for (auto other = row; other != row + classes; ++other) {
      if (other != best) margin = std::min(margin, *best - *other);
    }
    const bool same = std::max_element(mine, mine + classes) - mine == best - row;
    if (!same && margin > limit) ++difference.flips;
  }
  return difference;
}

void answer_tensors(ScriptModel& model, const fs::path& source, const fs::path& target) {
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
    throw RunnerError("cannot write " + target.string() + ": " + reason(error));
  }
}

std::string selftest(ScriptModel& model, const fs::path& golden) {
  const SafeTensors file = read_tensors(golden);
  const double limit = limit_of(file);
  if (std::isnan(limit)) {
    throw ContractError(golden.string() + " has no golden vectors for " + kRuntime);
  }
  const Cases wanted = cases_of(file.tensors, model.contract().outputs);
  const Cases inputs = cases_of(file.tensors, model.contract().inputs);
  double worst = 0;
  std::string where;
  std::size_t flips = 0;
  for (const auto& [name, want] : wanted) {
    if (inputs.count(name) == 0) {
      throw ContractError("tensor " + name + model.contract().inputs[0].name + " is missing");
    }
    const std::vector<Tensor> got = model.run(inputs.at(name));
    for (std::size_t i = 0; i < want.size(); ++i) {
      const Difference difference = compare(got[i], want[i], limit);
      if (i == 0) flips += difference.flips;  // the labels are those of the first output
      if (std::isnan(worst)) continue;        // nothing is worse
      if (where.empty() || !(difference.largest <= worst)) {
        worst = difference.largest;
        where = name.substr(0, name.find_last_not_of('.') + 1);
      }
    }
  }
  const std::string vectors = std::to_string(wanted.size()) + " vectors, worst " +
                              scientific(worst) + " at " + where + ", limit " + scientific(limit);
  if (flips > 0 || !(worst <= limit)) {
    throw ParityError("selftest failed: " + vectors + ", " + std::to_string(flips) +
                      " labels flipped");
  }
  return "selftest passed: " + vectors;
}

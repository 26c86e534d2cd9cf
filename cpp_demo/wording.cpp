#include "wording.h"

#include <algorithm>
#include <cmath>

#include "errors.h"
#include "names.h"
#include "values.h"

namespace torchcrate {

namespace {

constexpr std::size_t kFew = 10;  // numbers that a line for people shows; of more only the shape

/// Returns the probability of the best of `values` in [0, 1]; none if `meaning` tells none.
std::optional<double> probability(const std::string& meaning, const std::vector<double>& values) {
  double best = values.front();
  for (const double value : values) best = std::isnan(value) || value > best ? value : best;
  if (meaning == "probabilities") return best;
  // The second is what crates said before there were words for it.
  if (meaning == "log-probabilities" || meaning == "natural logarithms of probabilities") {
    return std::exp(best);
  }
  if (meaning != "logits") return {};
  double sum = 0;
  for (const double value : values) sum += std::exp(value - best);
  return 1 / sum;
}

/// Returns nested lists with six digits a number.
std::string nested(const Tensor& tensor, const std::vector<double>& values, std::size_t axis,
                   std::size_t& at) {
  if (axis == tensor.shape.size()) return formatted(values[at++], std::chars_format::general, 6);
  std::string text;
  for (std::int64_t i = 0; i < tensor.shape[axis]; ++i) {
    text += (i > 0 ? ", " : "") + nested(tensor, values, axis + 1, at);
  }
  return "[" + text + "]";
}

/// Returns few numbers as they are, and of many the dtype and the shape.
std::string brief(const Tensor& tensor) {
  const std::vector<double> values = widened(tensor);
  std::string whole;
  std::size_t at = 0;
  if (values.size() <= kFew) {
    if (tensor.dtype.rfind("float", 0) == 0) return nested(tensor, values, 0, at);
    append_json(whole, tensor);
    return whole;
  }
  std::string shape;
  for (const std::int64_t size : tensor.shape) {
    shape += (shape.empty() ? "" : ", ") + std::to_string(size);
  }
  return tensor.dtype + "(" + shape + ")";
}

void append_outputs(std::string& line, const Contract& contract,
                    const std::vector<Tensor>& answers) {
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (line.size() > 1) line += ", ";
    line += quoted(contract.outputs[i].name) + ": ";
    append_json(line, answers[i]);
  }
}

}  // namespace

std::optional<std::string> label_of(const Contract& contract, const Tensor& answer) {
  if (contract.labels.empty()) return {};
  if (answer.shape.empty() ||
      answer.shape.back() != static_cast<std::int64_t>(contract.labels.size())) {
    throw ContractError("the model does not answer with one number for each label");
  }
  if (answer.shape.size() > 1) return {};
  const std::vector<double> values = widened(answer);
  // numpy's rule, too: the first NaN, or the first of the largest.
  const auto best = std::max_element(values.begin(), values.end(), [](double one, double other) {
    return !std::isnan(one) && (std::isnan(other) || one < other);
  });
  return contract.labels[static_cast<std::size_t>(best - values.begin())];
}

std::string line(const Contract& contract, const std::string& path,
                 const std::vector<Tensor>& answers) {
  const std::optional<std::string> label = label_of(contract, answers[0]);
  if (label) {
    const auto part = probability(contract.outputs[0].meaning, widened(answers[0]));
    const std::string percent =
        part ? " (" + formatted(100 * *part, std::chars_format::fixed, 1) + " %)" : "";
    return "Image is a " + *label + percent + "  " + path;
  }
  std::string said;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    said += (i > 0 ? ", " : "") + contract.outputs[i].name + " " + brief(answers[i]);
  }
  return said + "  " + path;
}

std::string json_line(const Contract& contract, const std::string& path,
                      const std::vector<Tensor>& answers) {
  const std::optional<std::string> label = label_of(contract, answers[0]);
  std::string said = "{\"path\": " + quoted(path);
  if (label) said += ", \"label\": " + quoted(*label);
  append_outputs(said, contract, answers);
  return said + "}";
}

std::string json_outputs(const Contract& contract, const std::vector<Tensor>& answers) {
  std::string said = "{";
  append_outputs(said, contract, answers);
  return said + "}";
}

std::string json_error(const std::optional<std::string>& path, const std::string& reason) {
  const std::string named = path ? "\"path\": " + quoted(*path) + ", " : "";
  return "{" + named + "\"error\": " + quoted(reason) + "}";
}

}  // namespace torchcrate

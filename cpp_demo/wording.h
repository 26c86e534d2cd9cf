#pragma once

#include <optional>
#include <string>
#include <vector>

#include "contract.h"

namespace torchcrate {

/// Returns the label of the best of `answer`, the first output for one image; nothing if the
/// contract has no labels, or if there is not one number for each of them alone.
/// @throws ContractError if the last axis has another size than the contract has labels.
[[nodiscard]] std::optional<std::string> label_of(const Contract& contract, const Tensor& answer);

/// Returns what is said to people of the image at `path`: its label, and how probable that is
/// where the meaning of the first output tells; or the outputs, where there is no label.
[[nodiscard]] std::string line(const Contract& contract, const std::string& path,
                               const std::vector<Tensor>& answers);

/// Returns the same as JSON: path, label if there is one, and every output by name.
[[nodiscard]] std::string json_line(const Contract& contract, const std::string& path,
                                    const std::vector<Tensor>& answers);

/// Returns a JSON object with every output by name.
[[nodiscard]] std::string json_outputs(const Contract& contract,
                                       const std::vector<Tensor>& answers);

/// Returns a JSON object that says why there is no answer; of no file if `path` is absent.
[[nodiscard]] std::string json_error(const std::optional<std::string>& path,
                                     const std::string& reason);

}  // namespace torchcrate

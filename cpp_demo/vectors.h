#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "safetensors.h"
#include "script_model.h"

namespace torchcrate {

/// Returns the largest |got - want| / (1 + |want|), 0 for equal infinities; NaN if any is, or if
/// shapes or dtypes differ. Mirrors vectors.py.
[[nodiscard]] double difference(const Tensor& got, const Tensor& want);

/// Returns how many labels differ, where want's best leads the second by more than `limit`.
/// @param want  (..., C), a number for each label; `got` likewise.
[[nodiscard]] std::size_t flips(const Tensor& got, const Tensor& want, double limit);

/// Answers each case of the safetensors file `source`, which holds NAME or CASE.NAME
/// for every input of the contract that is not optional, and writes the outputs likewise to
/// `target`.
/// @throws ContractError if the tensors break the contract.
/// @throws NobodyReads if `target` is a pipe without a reader.
/// @throws RunnerError if it cannot be written.
void answer_tensors(const ScriptModel& model, const std::filesystem::path& source,
                    const std::filesystem::path& target);

/// Replays the golden vectors of a crate.
/// @param device  "cpu" or "cuda", where the model is.
/// @return one line for people.
/// @throws ParityError if an answer is off.
/// @throws ContractError if the file states no limit for that device.
[[nodiscard]] std::string selftest(const ScriptModel& model, const std::filesystem::path& golden,
                                   const std::string& device);

}  // namespace torchcrate

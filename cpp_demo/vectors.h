#pragma once

#include <filesystem>
#include <string>

#include "safetensors.h"
#include "script_model.h"

/// How far answers are from the golden ones. Mirrors `_compare` of command.py.
struct Difference {
  double largest = 0;     ///< |got - want| / (1 + |want|); NaN if any is, or if the shapes differ
  std::size_t flips = 0;  ///< labels that differ where want's margin exceeds the limit
};

/// Compares `got` (..., C) with `want` (..., C), element by element.
[[nodiscard]] Difference compare(const Tensor& got, const Tensor& want, double limit);

/// Answers each case of the safetensors file `source`, which holds NAME or CASE.NAME
/// for every input of the contract, and writes the outputs likewise to `target`.
/// @throws ContractError if the tensors break the contract.
/// @throws RunnerError if `target` cannot be written.
void answer_tensors(ScriptModel& model, const std::filesystem::path& source,
                    const std::filesystem::path& target);

/// Replays the golden vectors of a crate.
/// @return one line for people.
/// @throws ParityError if an answer is off.
/// @throws ContractError if the file holds no golden vectors for LibTorch.
[[nodiscard]] std::string selftest(ScriptModel& model, const std::filesystem::path& golden);

#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "contract.h"
#include "tensor.h"

/// A TorchScript file: loaded by the constructor, freed with the object.
/// Mirrors run_torchscript.py; both give the same numbers.
class ScriptModel {
 public:
  /// Loads `path` on the CPU, in eval mode, with the contract that it carries.
  /// @throws RunnerError if it is not there, or if LibTorch or the contract refuses it.
  explicit ScriptModel(const std::filesystem::path& path);
  ~ScriptModel();
  ScriptModel(const ScriptModel&) = delete;
  ScriptModel& operator=(const ScriptModel&) = delete;

  [[nodiscard]] const Contract& contract() const noexcept { return contract_; }

  /// Answers one batch.
  /// @param inputs  one tensor for each input of the contract, in its order.
  /// @return one tensor for each output of the contract, in its order.
  /// @throws ContractError if an input or an output breaks the contract.
  /// @throws RunnerError if LibTorch fails.
  [[nodiscard]] std::vector<Tensor> run(const std::vector<Tensor>& inputs);

  /// Returns the version of the LibTorch that this program was compiled with.
  [[nodiscard]] static const char* libtorch() noexcept;

 private:
  struct Module;  // keeps LibTorch's headers out of every other file
  std::unique_ptr<Module> module_;
  Contract contract_;
};

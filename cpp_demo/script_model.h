#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "contract.h"
#include "tensor.h"

namespace torchcrate {

/// What a model is used for. "Exact" gives the numbers that LibTorch gives when nobody tunes it;
/// "warm" answers once or again and again, one call at a time; "many" answers large batches from
/// several threads at once.
enum class Work { kExact, kWarm, kMany };

/// A TorchScript file: loaded by the constructor, freed with the object.
/// Mirrors run_torchscript.py; both give the same numbers.
class ScriptModel {
 public:
  /// Loads `path` onto `device`, "cpu" or "cuda", in eval mode, with the contract that it carries.
  /// @throws RunnerError if it or the device is not there, or if LibTorch or the contract refuses.
  explicit ScriptModel(const std::filesystem::path& path, const std::string& device = "cpu");
  ~ScriptModel();
  ScriptModel(const ScriptModel&) = delete;
  ScriptModel& operator=(const ScriptModel&) = delete;

  [[nodiscard]] const Contract& contract() const noexcept { return contract_; }

  /// Lets a call have as many threads as `work` deserves on a model of this size.
  /// @return how many calls may well be made at once.
  std::size_t prepare(Work work);

  /// Makes an optimised copy of a model on the CPU. The next call is answered by both; from then on
  /// the copy answers, if it has given the same within `kClose`, else the model as it is.
  void optimize();

  /// Answers one batch; may be called from several threads at once.
  /// @param inputs  one tensor, or nothing, for each input of the contract, in its order.
  /// @return one tensor for each output of the contract, in its order.
  /// @throws ContractError if an input or an output breaks the contract.
  /// @throws RunnerError if LibTorch fails.
  [[nodiscard]] std::vector<Tensor> run(const Given& inputs) const;

  /// Returns the version of the LibTorch that this program was compiled with.
  [[nodiscard]] static const char* libtorch() noexcept;

 private:
  struct Module;  // keeps LibTorch's headers out of every other file

  std::unique_ptr<Module> module_;
  Contract contract_;
  bool small_ = false;
};

}  // namespace torchcrate

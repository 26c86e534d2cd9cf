#include "script_model.h"

#include <torch/script.h>
#include <torch/version.h>

#include <cstring>
#include <string>
#include <utility>

#include "errors.h"
#include "files.h"

namespace {

constexpr char kContract[] = "contract.json";  // the extra file inside the archive

constexpr std::pair<const char*, torch::ScalarType> kScalarTypes[] = {
    {"bool", torch::kBool},       {"uint8", torch::kUInt8},     {"int8", torch::kInt8},
    {"int16", torch::kInt16},     {"int32", torch::kInt32},     {"int64", torch::kInt64},
    {"float16", torch::kFloat16}, {"float32", torch::kFloat32}, {"float64", torch::kFloat64},
};

/// Runs `work` and turns what LibTorch throws into one line that begins with `what`.
template <typename Work>
auto translated(const std::string& what, Work work) {
  std::string problem;
  try {
    return work();
  } catch (const CrateError&) {
    throw;
  } catch (const c10::Error& error) {
    problem = error.what_without_backtrace();
  } catch (const std::exception& error) {
    problem = error.what();
  }
  throw RunnerError("LibTorch " TORCH_VERSION " " + what + ": " +
                    problem.substr(0, problem.find('\n')));
}

/// Refuses what is no file that can be opened, in the words of runtime.py.
void require_file(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  const std::string advice = ": --crate names the folder of a crate";
  if (status.type() == std::filesystem::file_type::not_found) {
    throw RunnerError(path.string() + " does not exist" + advice);
  }
  try {
    if (error) throw std::system_error(error);
    if (!is_regular_file(status)) throw RunnerError(path.string() + " is not a file" + advice);
    (void)read_file(path, 0);
  } catch (const std::system_error& problem) {
    throw RunnerError("cannot read " + path.string() + ": " + reason(problem));
  }
}

torch::Tensor to_torch(const Tensor& tensor) {
  for (const auto& [word, type] : kScalarTypes) {
    if (tensor.dtype == word) {
      torch::Tensor result = torch::empty(tensor.shape, type);
      if (!tensor.data.empty()) {
        std::memcpy(result.mutable_data_ptr(), tensor.data.data(), tensor.data.size());
      }
      return result;
    }
  }
  throw ContractError("dtype " + tensor.dtype + " is unknown to this program");
}

Tensor from_torch(const torch::Tensor& given) {
  const torch::Tensor tensor = given.to(torch::kCPU).contiguous();
  for (const auto& [word, type] : kScalarTypes) {
    if (tensor.scalar_type() == type) {
      const auto* data = static_cast<const std::uint8_t*>(tensor.const_data_ptr());
      return {word, tensor.sizes().vec(), Bytes(data, data + tensor.nbytes())};
    }
  }
  throw ContractError(std::string("the model answers with ") + toString(tensor.scalar_type()));
}

/// Returns the tensors of an answer; what is no tensor is missing from them.
std::vector<torch::Tensor> tensors_of(const torch::IValue& answer) {
  if (answer.isTensor()) return {answer.toTensor()};
  std::vector<torch::Tensor> tensors;
  if (answer.isTuple()) {
    for (const torch::IValue& element : answer.toTupleRef().elements()) {
      if (element.isTensor()) tensors.push_back(element.toTensor());
    }
  }
  return tensors;
}

}  // namespace

struct ScriptModel::Module {
  torch::jit::Module script;
};

ScriptModel::ScriptModel(const std::filesystem::path& path) {
  require_file(path);
  translated("refused " + path.string(), [&] {
    torch::jit::ExtraFilesMap extra{{kContract, ""}};
    module_ = std::make_unique<Module>(Module{torch::jit::load(path.string(), torch::kCPU, extra)});
    module_->script.eval();
    try {
      if (extra[kContract].empty()) throw std::runtime_error("it carries no contract");
      contract_ = Contract::parse(extra[kContract]);
    } catch (const ContractError& error) {
      throw std::runtime_error(error.what());
    }
  });
}

ScriptModel::~ScriptModel() = default;

std::vector<Tensor> ScriptModel::run(const std::vector<Tensor>& inputs) {
  std::vector<torch::IValue> arguments;
  for (std::size_t i = 0; i < contract_.inputs.size(); ++i) {
    contract_.inputs[i].check(inputs.at(i));
    arguments.emplace_back(to_torch(inputs[i]));
  }
  return translated("failed", [&] {
    const c10::InferenceMode guard;
    std::vector<Tensor> answers;
    for (const torch::Tensor& answer : tensors_of(module_->script.forward(std::move(arguments)))) {
      answers.push_back(from_torch(answer));
    }
    if (answers.size() != contract_.outputs.size()) {
      throw ContractError("the model answers with " + std::to_string(answers.size()) +
                          " tensors, the contract has " + std::to_string(contract_.outputs.size()));
    }
    for (std::size_t i = 0; i < answers.size(); ++i) contract_.outputs[i].check(answers[i]);
    return answers;
  });
}

const char* ScriptModel::libtorch() noexcept { return TORCH_VERSION; }

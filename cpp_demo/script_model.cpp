#include "script_model.h"

#include <ATen/Parallel.h>
#include <torch/csrc/jit/runtime/graph_executor.h>
#include <torch/cuda.h>
#include <torch/script.h>
#include <torch/version.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "errors.h"
#include "files.h"

namespace torchcrate {

namespace {

constexpr char kContract[] = "contract.json";  // the extra file inside the archive

// A model whose file has fewer bytes does too little in a call for threads to share. Those that
// wait for each other cost tens of microseconds a layer, and milliseconds where anything else is to
// do.
constexpr std::uintmax_t kSmall = std::uintmax_t{1} << 22;
constexpr double kClose = 1e-5;  // of |one - other| / (1 + |other|)

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
      const torch::Tensor result = torch::empty(tensor.shape, type);
      if (tensor.data.size() != result.nbytes()) {
        throw ContractError("a tensor has " + std::to_string(tensor.data.size()) +
                            " bytes, its shape and dtype ask for " +
                            std::to_string(result.nbytes()));
      }
      if (!tensor.data.empty()) {
        std::memcpy(result.mutable_data_ptr(), tensor.data.data(), tensor.data.size());
      }
      return result;
    }
  }
  throw ContractError("dtype " + tensor.dtype + " is unknown to this program");
}

Tensor from_torch(const torch::Tensor& given) {
  const torch::Tensor dense = given.layout() == torch::kStrided ? given : given.to_dense();
  const torch::Tensor tensor = dense.to(torch::kCPU).resolve_conj().resolve_neg().contiguous();
  for (const auto& [word, type] : kScalarTypes) {
    if (tensor.scalar_type() == type) {
      const auto* data = static_cast<const std::uint8_t*>(tensor.const_data_ptr());
      return {word, tensor.sizes().vec(), Bytes(data, data + tensor.nbytes())};
    }
  }
  std::string kind = toString(tensor.scalar_type());
  std::transform(kind.begin(), kind.end(), kind.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  throw ContractError("the model answers with " + kind + ", no contract has that");
}

/// Returns the tensors of an answer, which is one or a tuple of them.
std::vector<torch::Tensor> tensors_of(const torch::IValue& answer) {
  std::vector<torch::Tensor> tensors;
  const auto add = [&tensors](const torch::IValue& element) {
    if (!element.isTensor()) {
      throw ContractError("the model answers with a " + element.tagKind() + ", not a tensor");
    }
    tensors.push_back(element.toTensor());
  };
  if (!answer.isTuple()) {
    add(answer);
  } else {
    for (const torch::IValue& element : answer.toTupleRef().elements()) add(element);
  }
  return tensors;
}

bool alike(const torch::Tensor& one, const torch::Tensor& other) {
  if (one.scalar_type() != other.scalar_type() || one.sizes() != other.sizes()) return false;
  const torch::Tensor want = other.to(torch::kFloat64);
  return ((one.to(torch::kFloat64) - want).abs() <= kClose * (1 + want.abs())).all().item<bool>();
}

}  // namespace

struct ScriptModel::Module {
  torch::jit::Module script;
  torch::Device device;
  std::optional<torch::jit::Module> optimised;
  bool copied = false;  ///< whether one was made; stays so when `optimised` is dropped
  std::once_flag judged;

  std::vector<torch::Tensor> call(torch::jit::Module& callee,
                                  const std::vector<torch::IValue>& arguments) const {
    at::init_num_threads();  // OpenMP keeps it for each thread
    // What the executor gains by watching the first calls is less than these take, on a CPU.
    const torch::jit::GraphOptimizerEnabledGuard plain(false);
    return tensors_of(callee.forward(arguments));
  }

  /// Answers with both modules, and drops the optimised one unless it answers like the other.
  std::vector<torch::Tensor> judge(const std::vector<torch::IValue>& arguments) {
    std::vector<torch::Tensor> want = call(script, arguments);
    try {
      const std::vector<torch::Tensor> got = call(*optimised, arguments);
      if (std::equal(got.begin(), got.end(), want.begin(), want.end(), alike)) return got;
    } catch (const std::exception&) {
      // It cannot do what the model can: that is all there is to know.
    }
    optimised.reset();
    return want;
  }

  std::vector<torch::Tensor> answer(const std::vector<torch::IValue>& arguments) {
    std::vector<torch::Tensor> answers;
    if (copied) std::call_once(judged, [&] { answers = judge(arguments); });
    return answers.empty() ? call(optimised ? *optimised : script, arguments) : answers;
  }
};

ScriptModel::ScriptModel(const std::filesystem::path& path, const std::string& device) {
  require_file(path);
  if (device == "cuda" && !torch::cuda::is_available()) {
    throw RunnerError("LibTorch " TORCH_VERSION " finds no CUDA device here: leave --device out");
  }
  if (device == "cuda") {  // whole float32: TF32, a card's own choice, has ten bits of mantissa
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setAllowTF32CuBLAS(false);
  }
  small_ = std::filesystem::file_size(path) < kSmall;
  translated("refused " + path.string(), [&] {
    torch::jit::ExtraFilesMap extra{{kContract, ""}};
    const torch::Device place(device);
    module_.reset(new Module{torch::jit::load(path.string(), place, extra), place, {}, {}, {}});
    module_->script.eval();
    try {
      contract_ = Contract::parse(extra[kContract]);
    } catch (const ContractError& error) {
      throw std::runtime_error(error.what());
    }
  });
}

ScriptModel::~ScriptModel() = default;

std::size_t ScriptModel::prepare(Work work) {
  const auto threads = static_cast<std::size_t>(at::get_num_threads());
  if (work == Work::kMany || (small_ && work != Work::kExact)) at::set_num_threads(1);
#ifdef __GLIBC__
  if (work ==
      Work::kMany) {  // what lies between layers is wanted again: the system need not clear it
    mallopt(M_MMAP_THRESHOLD, 1 << 25);
    mallopt(M_TRIM_THRESHOLD, 1 << 28);
  }
#endif
  return work == Work::kMany ? threads : 1;
}

void ScriptModel::optimize() {
  if (!module_->device.is_cpu()) return;  // the layouts of inference are for CPUs
  const c10::InferenceMode guard;
  try {
    // Of a model that was called before less is optimised, of its clone all.
    torch::jit::Module clone = module_->script.clone();
    module_->optimised = torch::jit::optimize_for_inference(clone);
    module_->copied = true;
  } catch (const std::exception&) {
    // What cannot be optimised answers as it is.
  }
}

std::vector<Tensor> ScriptModel::run(const Given& inputs) const {
  const Sizes sizes = contract_.check_inputs(inputs);
  std::vector<Tensor> answers = translated("failed", [&] {
    const c10::InferenceMode guard;
    std::vector<torch::IValue> arguments;
    for (const std::optional<Tensor>& input : inputs) {
      arguments.emplace_back(input ? torch::IValue(to_torch(*input).to(module_->device))
                                   : torch::IValue());
    }
    std::vector<Tensor> results;
    for (const torch::Tensor& answer : module_->answer(arguments)) {
      results.push_back(from_torch(answer));
    }
    return results;
  });
  contract_.check_outputs(answers, sizes);
  return answers;
}

const char* ScriptModel::libtorch() noexcept { return TORCH_VERSION; }

}  // namespace torchcrate

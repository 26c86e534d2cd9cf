// A crate's model called warm: by the crate's own ScriptModel, and as bare as LibTorch can.
//
//   bench_call CRATE INPUTS.safetensors
//
// INPUTS holds the tensors of one call by the contract's names. Reads lines like `answer 200` from
// stdin, what to call and how often: `answer` is ScriptModel, `bare` a module that was loaded and
// nothing else. Writes a line of JSON for each: the seconds of every call, and the core-seconds of
// all of them. A process is asked for one of them: how many threads LibTorch has is the same for
// all that is in it.

#include <torch/script.h>

#include <chrono>
#include <ctime>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "errors.h"
#include "files.h"
#include "safetensors.h"
#include "script_model.h"

namespace fs = std::filesystem;
// It is built with the sources of older crates, too, which have no names in it.
namespace torchcrate {}
using namespace torchcrate;

namespace {

using Clock = std::chrono::steady_clock;
using Call = std::function<void()>;

// Calls before those that count, as `torchcrate.bench.ask` has them.
constexpr int kWarm = 10;
constexpr int kLeast = 2;
constexpr std::chrono::milliseconds kLongest{500};  // after which the least is enough

Given inputs_of(const Contract& contract, const fs::path& path) {
  const SafeTensors stored = parse_safetensors(read_file(path));
  Given given;
  for (const TensorSpec& spec : contract.inputs) {
    const auto found = stored.tensors.find(spec.name);
    given.push_back(found == stored.tensors.end() ? std::nullopt
                                                  : std::optional<Tensor>(found->second));
  }
  return given;
}

torch::IValue to_ivalue(const std::optional<Tensor>& given) {
  if (!given) return {};
  Bytes data = given->data;
  return torch::from_blob(data.data(), given->shape, c10::getStringToDtypeMap().at(given->dtype))
      .clone();
}

Call answer(const fs::path& crate, const fs::path& inputs) {
  const auto model = std::make_shared<ScriptModel>(crate / "model.pt");
  (void)model->prepare(Work::kWarm);
  return [model, given = inputs_of(model->contract(), inputs)] { (void)model->run(given); };
}

Call bare(const fs::path& crate, const fs::path& inputs) {
  const Contract contract = ScriptModel(crate / "model.pt").contract();
  std::vector<torch::IValue> arguments;
  for (const auto& given : inputs_of(contract, inputs)) arguments.push_back(to_ivalue(given));
  const auto module =
      std::make_shared<torch::jit::Module>(torch::jit::load((crate / "model.pt").string()));
  module->eval();
  return [module, arguments] {
    const c10::InferenceMode guard;
    (void)module->forward(arguments);
  };
}

void measure(const Call& call, int count) {
  const Clock::time_point end = Clock::now() + kLongest;
  for (int i = 0; i < kWarm; ++i) {
    if (i < kLeast || Clock::now() < end) call();
  }
  std::string line;
  const std::clock_t before = std::clock();  // of all threads
  for (int i = 0; i < count; ++i) {
    const Clock::time_point begun = Clock::now();
    call();
    const std::chrono::nanoseconds took = Clock::now() - begun;
    line += (i > 0 ? ", " : "") + std::to_string(took.count()) + "e-9";
  }
  const double cpu = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  std::cout << R"({"seconds": [)" << line << R"(], "cpu": )" << cpu << "}" << std::endl;
}

void serve(const fs::path& crate, const fs::path& inputs) {
  Call call;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string name;
    int count = 0;
    if (!(words >> name >> count) || count < 1) throw UsageError("no call and count: " + line);
    if (!call) call = (name == "bare" ? bare : answer)(crate, inputs);
    measure(call, count);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: bench_call CRATE INPUTS.safetensors\n";
    return 2;
  }
  try {
    serve(argv[1], argv[2]);
  } catch (const std::exception& error) {
    std::cerr << "Error: " << error.what() << '\n';
    return 6;
  }
  return 0;
}

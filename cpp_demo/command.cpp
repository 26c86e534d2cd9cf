#include "command.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <new>
#include <nlohmann/json.hpp>

#include "errors.h"
#include "images.h"
#include "names.h"
#include "script_model.h"
#include "vectors.h"

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kBatch = 64;  // images of one size are answered together, at most this many
constexpr std::int64_t kPixels = 1 << 22;  // and of so many pixels, so that memory stays flat
constexpr char kModel[] = "model.pt";
constexpr char kGolden[] = "golden.safetensors";

struct Options {
  fs::path crate = ".";
  std::vector<std::string> images;
  fs::path tensors;
  fs::path out;
  bool selftest = false;
  bool json = false;
};

/// An image that waits for its answer.
struct Waiting {
  std::string path;
  Grey grey;
};

/// Sends what was said on its way.
/// @throws RunnerError if it cannot be written.
void deliver() {
  std::cout.flush();
  if (!std::cout) throw RunnerError("cannot write the answers: no space left, or nobody reads");
}

void refuse(const std::string& path, const std::string& reason, bool json) {
  if (json) {
    std::cout << "{\"path\": " << quoted(path) << ", \"error\": " << quoted(reason) << "}\n";
  }
  std::cout.flush();
  std::cerr << "Error: " << reason << '\n';
}

/// Answers images of one size and empties the batch.
void answer(ScriptModel& model, std::vector<Waiting>& batch, bool json) {
  if (batch.empty()) return;
  const auto count = static_cast<std::int64_t>(batch.size());
  Tensor stack{"uint8",
               {count, 1, static_cast<std::int64_t>(batch[0].grey.height),
                static_cast<std::int64_t>(batch[0].grey.width)},
               {}};
  for (const Waiting& image : batch) {
    stack.data.insert(stack.data.end(), image.grey.pixels.begin(), image.grey.pixels.end());
  }
  const Tensor log_probs = model.run({std::move(stack)})[0];
  const std::vector<std::string>& labels = model.contract().labels;
  if (log_probs.dtype != "float32" || labels.empty() ||
      log_probs.data.size() != batch.size() * labels.size() * sizeof(float)) {
    throw ContractError("the model does not answer with one float32 for each label");
  }
  const std::uint8_t* at = log_probs.data.data();
  for (const Waiting& image : batch) {
    std::vector<float> row(labels.size());
    std::memcpy(row.data(), at, row.size() * sizeof(float));
    at += row.size() * sizeof(float);
    const auto best = std::max_element(row.begin(), row.end());
    const std::string& label = labels[static_cast<std::size_t>(best - row.begin())];
    if (json) {
      std::cout << json_answer(image.path, label, row) << '\n';
    } else {
      char percent[32];
      std::snprintf(percent, sizeof percent, "%.1f", 100 * std::exp(double{*best}));
      std::cout << "Image is a " << label << " (" << percent << " %)  " << image.path << '\n';
    }
  }
  deliver();
  batch.clear();
}

/// Answers all images in the order asked.
/// @return 0, or 1 if one of them could not be read.
int answer_images(ScriptModel& model, const Options& options) {
  const std::vector<TensorSpec>& inputs = model.contract().inputs;
  if (inputs.size() != 1 || inputs[0].meaning != "image") {
    throw UsageError("this model does not read images: use --tensors");
  }
  int code = 0;
  std::vector<Waiting> batch;
  const auto refused = [&](const std::string& path, const std::string& reason) {
    answer(model, batch, options.json);
    refuse(path, reason, options.json);
    code = 1;
  };
  for (const std::string& pattern : options.images) {
    const std::vector<std::string> paths = expand(pattern);
    if (paths.empty()) refused(pattern, pattern + ": no such file, and no file matches it");
    for (const std::string& path : paths) {
      try {
        Grey grey = read_grey(path);
        const bool alike = !batch.empty() && grey.height == batch[0].grey.height &&
                           grey.width == batch[0].grey.width;
        const auto pixels = static_cast<std::int64_t>(grey.height) * grey.width;
        const auto full = static_cast<std::int64_t>(batch.size() + 1) * pixels > kPixels;
        if (!alike || batch.size() == kBatch || full) answer(model, batch, options.json);
        batch.push_back({path, std::move(grey)});
      } catch (const ImageError& error) {
        refused(path, error.what());
      }
    }
  }
  answer(model, batch, options.json);
  return code;
}

void declare(CLI::App& app, Options& options) {
  app.footer("example: run_libtorch --image 'scans/*.png' --json");
  app.set_version_flag("--version", std::string("run_libtorch " TORCHCRATE_VERSION " (LibTorch ") +
                                        ScriptModel::libtorch() + ")");
  app.add_option("--crate", options.crate, "the crate (default: current folder)")->type_name("DIR");
  auto* image =
      app.add_option("--image", options.images, "a PNG or a glob of PNGs; may be repeated")
          ->type_name("PATTERN")
          ->allow_extra_args(false);
  auto* tensors = app.add_option("--tensors", options.tensors,
                                 "a safetensors file with the contract's inputs, as NAME or as "
                                 "CASE.NAME")
                      ->type_name("IN");
  auto* selftest = app.add_flag("--selftest", options.selftest, "replay the golden vectors here");
  app.add_flag("--json", options.json, "one JSON object a line for each image")->needs(image);
  auto* out = app.add_option("--out", options.out, "where --tensors writes its answers")
                  ->type_name("OUT")
                  ->needs(tensors);
  tensors->needs(out);
  image->excludes(tensors)->excludes(selftest);
  tensors->excludes(selftest);
  app.callback([=] {
    if (image->count() + tensors->count() + selftest->count() == 0) {
      throw CLI::RequiredError("one of --image, --tensors, --selftest");
    }
  });
}

int dispatch(const Options& options) {
  ScriptModel model(options.crate / kModel);
  if (options.selftest) {
    std::cout << selftest(model, options.crate / kGolden) << '\n';
    deliver();
    return 0;
  }
  if (!options.images.empty()) return answer_images(model, options);
  answer_tensors(model, options.tensors, options.out);
  return 0;
}

}  // namespace

std::string json_answer(const std::string& path, const std::string& label,
                        const std::vector<float>& log_probs) {
  std::string line =
      "{\"path\": " + quoted(path) + ", \"label\": " + quoted(label) + ", \"log_probs\": [";
  for (std::size_t i = 0; i < log_probs.size(); ++i) {
    line += (i == 0 ? "" : ", ") + nlohmann::json(double{log_probs[i]}).dump();
  }
  return line + "]}";
}

int run_command(int argc, const char* const* argv) {
  CLI::App app("Answer with the model of a crate.", "run_libtorch");
  Options options;
  declare(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    std::cerr << "Error: " << error.what() << "; run_libtorch --help shows the options\n";
    return 2;
  }
  try {
    return dispatch(options);
  } catch (const CrateError& error) {
    std::cout.flush();
    std::cerr << "Error: " << error.what() << '\n';
    return error.exit_code();
  } catch (const fs::filesystem_error& error) {
    std::cerr << "Error: " << error.path1().string() << ": " << reason(error) << '\n';
    return 6;
  } catch (const std::bad_alloc&) {
    std::cerr << "Error: out of memory: ask for fewer or smaller inputs\n";
    return 6;
  }
}

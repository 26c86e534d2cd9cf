#include "command.h"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <future>
#include <iostream>
#include <new>
#include <utility>

#include "ahead.h"
#include "errors.h"
#include "files.h"
#include "lines.h"
#include "pictures.h"
#include "script_model.h"
#include "vectors.h"

namespace torchcrate {

namespace fs = std::filesystem;

namespace {

// Images for which optimising the model takes no longer than it saves; few enough that every
// crate's own sample images, which verification reads, show whether it answers alike.
constexpr std::size_t kMany = 16;
constexpr char kModel[] = "model.pt";
constexpr char kGolden[] = "golden.safetensors";

struct Options {
  fs::path crate = ".";
  std::vector<std::string> images;
  fs::path tensors;
  fs::path out;
  std::string device = "cpu";
  bool selftest = false;
  bool json = false;
};

/// Answers all images in the order asked.
/// @return 0, or 1 if one of them could not be read.
int answer_images(const Options& options) {
  Pieces pieces(options.images);
  // Names are read from the disk while the model is.
  std::future<bool> many = std::async([&pieces] { return pieces.hold(kMany); });
  ScriptModel model(options.crate / kModel, options.device);
  const Pictures pictures(model, options.json);
  const bool optimise = many.get();
  const std::size_t threads = model.prepare(pieces.hold(2) ? Work::kMany : Work::kWarm);
  int code = 0;
  Tasks tasks{[&](Piece& piece) { return pieces.take(piece); },
              [&](const Piece& piece, const auto& say) { pictures.answer(piece, say); },
              [&](const Said& said) {
                deliver(std::cout, said.out);
                std::cerr << said.err;
                if (!said.err.empty()) code = 1;
              }};
  if (optimise) {  // after the first answer, so that nobody waits for it longer than for one image
    Piece piece;
    if (tasks.take(piece)) tasks.answer(piece, tasks.deliver);
    model.optimize();
  }
  in_order(threads, tasks);
  return code;
}

void declare(CLI::App& app, Options& options) {
  app.footer("example: run_libtorch --image 'scans/*.png' --json");
  app.set_version_flag("--version", std::string("run_libtorch " TORCHCRATE_VERSION " (LibTorch ") +
                                        ScriptModel::libtorch() + ")");
  app.option_defaults()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
  app.add_option("--crate", options.crate, "the crate (default: current folder)")->type_name("DIR");
  auto* image =
      app.add_option("--image", options.images, "a PNG or a glob of PNGs; may be repeated")
          ->type_name("PATTERN")
          ->allow_extra_args(false)
          ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  auto* tensors = app.add_option("--tensors", options.tensors,
                                 "a safetensors file with the contract's inputs, as NAME or as "
                                 "CASE.NAME")
                      ->type_name("IN");
  auto* selftest = app.add_flag("--selftest", options.selftest, "replay the golden vectors here")
                       ->disable_flag_override();
  auto* json = app.add_flag("--json", options.json,
                            "with --image one JSON object a line for each image; alone, answer "
                            "each line of stdin, an object with the inputs by name")
                   ->disable_flag_override();
  auto* out = app.add_option("--out", options.out, "where --tensors writes its answers")
                  ->type_name("OUT")
                  ->needs(tensors);
  app.add_option("--device", options.device, "cpu or cuda, what computes (default: cpu)")
      ->type_name("DEVICE")
      ->check(CLI::IsMember({"cpu", "cuda"}));
  tensors->needs(out);
  image->excludes(tensors)->excludes(selftest);
  tensors->excludes(selftest);
  app.callback([=] {
    if (image->count() + tensors->count() + json->count() + selftest->count() == 0) {
      throw CLI::RequiredError("one of --image, --tensors, --json, --selftest");
    }
    if (json->count() > 0 && tensors->count() + selftest->count() > 0) {
      throw CLI::ValidationError("--json goes with --image or alone");
    }
  });
}

int dispatch(const Options& options) {
  if (!options.images.empty()) return answer_images(options);
  ScriptModel model(options.crate / kModel, options.device);
  if (options.json) {
    (void)model.prepare(Work::kWarm);
    return answer_lines(model, std::cin, std::cout, std::cerr);
  }
  (void)model.prepare(Work::kExact);
  if (options.selftest) {
    deliver(std::cout, selftest(model, options.crate / kGolden, options.device) + '\n');
  } else {
    answer_tensors(model, options.tensors, options.out);
  }
  return 0;
}

}  // namespace

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
  } catch (const NobodyReads& gone) {
    return gone.exit_code();
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

}  // namespace torchcrate

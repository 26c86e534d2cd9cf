#include "pictures.h"

#include <algorithm>
#include <utility>

#include "errors.h"
#include "images.h"
#include "values.h"
#include "wording.h"

namespace torchcrate {

namespace {

// Images of one size that are answered together at most. More are a few hundredths quicker, and
// what lies between the layers takes as much more memory, in every thread.
constexpr std::size_t kBatch = 64;
constexpr std::size_t kPixels = std::size_t{1} << 18;  // of a batch, or one image that has more
constexpr std::size_t kText = std::size_t{1} << 16;    // bytes of answers that are sent at once

bool takes_images(const Contract& contract, const TensorSpec& spec) {
  return spec.dtype == "uint8" && !spec.bounds && spec.axes.size() == 4 &&
         (spec.axes[1].size == 1 || spec.axes[1].size == 3) &&
         contract.limits_of(spec.axes[0]).hold(1);
}

/// Returns the place of the image among the inputs; there may be others, all of them optional.
std::size_t place_of_image(const Contract& contract) {
  const auto required = [](const TensorSpec& spec) { return !spec.optional; };
  const auto& inputs = contract.inputs;
  const auto found = std::find_if(inputs.begin(), inputs.end(), required);
  if (std::count_if(inputs.begin(), inputs.end(), required) != 1 ||
      !takes_images(contract, *found)) {
    throw UsageError("this model does not read images: use --tensors or --json");
  }
  if (found->meaning != "image") {
    throw UsageError("this model does not say that " + found->name +
                     " is an image: use --tensors or --json, or export it with its input "
                     "described 'as image'");
  }
  return static_cast<std::size_t>(found - inputs.begin());
}

/// Whether an output has a row for each image; `batch` is the word of the images' first axis.
bool has_rows(const TensorSpec& output, const std::string& batch) {
  return !output.axes.empty() && output.axes[0].word == batch;
}

/// Returns how many images one call may take: one, if an output would not tell them apart.
std::size_t largest_batch(const Contract& contract, const Axis& batch) {
  const auto apart = [&](const TensorSpec& spec) { return has_rows(spec, batch.word); };
  if (!std::all_of(contract.outputs.begin(), contract.outputs.end(), apart)) return 1;
  const std::int64_t most = contract.limits_of(batch).maximum.value_or(kBatch);
  return std::min(kBatch, static_cast<std::size_t>(most));
}

}  // namespace

/// Images of one size that wait for their answers, and what was said of those before.
struct Pictures::Batch {
  std::vector<std::string> paths;
  Tensor pixels;  ///< (paths, channels, H, W)
  Said said;
  const std::function<void(Said)>& say;

  void send() { say(std::exchange(said, {})); }
};

bool Pieces::take(Piece& piece) {
  // Sizes are few: for each size of a batch oneDNN compiles its kernels anew.
  constexpr std::size_t kFew = 8;
  const std::size_t size = taken_ < 4 * kFew ? 1 : taken_ < 4 * kBatch ? kFew : kBatch;
  while (piece.size() < size) {
    std::optional<Named> next = names_.next();
    if (!next) break;
    piece.push_back(*std::move(next));
  }
  taken_ += piece.size();
  return !piece.empty();
}

Pictures::Pictures(const ScriptModel& model, bool json)
    : model_(model), json_(json), place_(place_of_image(model.contract())) {
  largest_ = largest_batch(model.contract(), model.contract().inputs[place_].axes[0]);
}

void Pictures::answer(const Piece& piece, const std::function<void(Said)>& say) const {
  Batch batch{{}, {"uint8", {0, 0, 0, 0}, {}}, {}, say};
  for (const Named& named : piece) {
    try {
      add(named, batch);
    } catch (const ImageError& error) {
      flush(batch);
      if (json_) batch.said.out += json_error(named.path, error.what()) + '\n';
      batch.said.err = std::string("Error: ") + error.what() + '\n';
      batch.send();
    }
  }
  flush(batch);
  batch.send();
}

void Pictures::add(const Named& named, Batch& batch) const {
  if (!named.found) throw ImageError(named.path + ": no such file, and no file matches it");
  const std::int64_t channels = model_.contract().inputs[place_].axes[1].size;
  const Picture picture = read_picture(named.path, static_cast<std::size_t>(channels));
  const auto height = static_cast<std::int64_t>(picture.height);
  const auto width = static_cast<std::int64_t>(picture.width);
  try {
    require_size(height, width);
  } catch (const ImageError& error) {
    throw ImageError(named.path + ": " + error.what());
  }
  std::vector<std::int64_t>& shape = batch.pixels.shape;
  const std::size_t count = batch.paths.size();
  const bool alike = shape[2] == height && shape[3] == width;
  if (!alike || count == largest_ || (count + 1) * picture.height * picture.width > kPixels) {
    flush(batch);
  }
  shape = {shape[0] + 1, channels, height, width};
  batch.paths.push_back(named.path);
  batch.pixels.data.insert(batch.pixels.data.end(), picture.pixels.begin(), picture.pixels.end());
}

void Pictures::require_size(std::int64_t height, std::int64_t width) const {
  const std::vector<Axis>& axes = model_.contract().inputs[place_].axes;
  const auto require = [this](const char* name, const Axis& axis, std::int64_t size) {
    const Limits limits = model_.contract().limits_of(axis);
    if (limits.hold(size)) return;
    throw ImageError(std::string(name) + " " + std::to_string(size) + ", the contract has " +
                     limits.words());
  };
  require("height", axes[2], height);
  require("width", axes[3], width);
  if (axes[2].word == axes[3].word && height != width) {
    throw ImageError("width " + std::to_string(width) + ", height has " + std::to_string(height));
  }
}

void Pictures::flush(Batch& batch) const {
  if (batch.paths.empty()) return;
  const Contract& contract = model_.contract();
  Given given(contract.inputs.size());
  given[place_] = std::move(batch.pixels);
  const std::vector<Tensor> answers = model_.run(given);
  const std::string& word = contract.inputs[place_].axes[0].word;
  for (std::size_t i = 0; i < batch.paths.size(); ++i) {
    std::vector<Tensor> rows;
    for (std::size_t output = 0; output < answers.size(); ++output) {
      const bool apart = has_rows(contract.outputs[output], word);
      rows.push_back(apart ? row_of(answers[output], i) : answers[output]);
    }
    batch.said.out += (json_ ? json_line : line)(contract, batch.paths[i], rows) + '\n';
    if (batch.said.out.size() >= kText) batch.send();
  }
  batch.paths.clear();
  batch.pixels = *std::move(given[place_]);
  batch.pixels.data.clear();
  batch.pixels.shape.assign(4, 0);
}

}  // namespace torchcrate

// The loop of the tutorial "Loading a TorchScript Model in C++", over PNG files, and its two
// halves alone:
//
//   bench_loop MODEL.pt LIST [loop|decode|forward]
//
// LIST names a PNG a line; all have one size, 8 bits, and the model's number of channels.
//   loop     decode one, forward one, all threads, nothing optimised: what the tutorial shows
//   decode   decode all, on one thread
//   forward  batches of 64 through the model optimised for inference, on one thread
// Prints the time of the work alone, {"mode", "images", "seconds", "core_seconds"}: by the clock
// and of all cores together. Loading the model is in neither, nor is, for forward, decoding.

#include <ATen/Parallel.h>
#include <png.h>
#include <torch/script.h>

#include <algorithm>
#include <chrono>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kBatch = 64;  // the program's

struct Image {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<std::uint8_t> pixels;  ///< (H, W, channels)
};

/// libpng leaves it by longjmp, so what it fills belongs to the caller.
bool read(std::FILE* file, png_structp png, png_infop info, Image& image,
          std::vector<png_bytep>& rows) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_init_io(png, file);
  png_read_info(png, info);
  image.height = png_get_image_height(png, info);
  image.width = png_get_image_width(png, info);
  image.channels = png_get_channels(png, info);
  const std::size_t size = png_get_rowbytes(png, info);
  rows.resize(static_cast<std::size_t>(image.height));
  image.pixels.resize(rows.size() * size);
  for (std::size_t row = 0; row < rows.size(); ++row) rows[row] = image.pixels.data() + row * size;
  png_read_image(png, rows.data());
  return true;
}

Image decode(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) throw std::runtime_error("cannot open " + path);
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  Image image;
  std::vector<png_bytep> rows;
  const bool sound = read(file, png, info, image, rows);
  png_destroy_read_struct(&png, &info, nullptr);
  std::fclose(file);
  if (!sound) throw std::runtime_error("cannot decode " + path);
  return image;
}

/// Returns pixels (N, H, W, channels) as (N, channels, H, W) uint8; they share memory.
torch::Tensor to_tensor(std::uint8_t* pixels, std::size_t count, const Image& image) {
  const auto n = static_cast<std::int64_t>(count);
  return torch::from_blob(pixels, {n, image.height, image.width, image.channels}, torch::kUInt8)
      .permute({0, 3, 1, 2});
}

/// Returns the number of the best label of each image, added up, so that no answer goes unused.
std::int64_t labels(torch::jit::Module& module, const torch::Tensor& images) {
  const torch::IValue answer = module.forward({images});
  const torch::Tensor first =
      answer.isTuple() ? answer.toTupleRef().elements()[0].toTensor() : answer.toTensor();
  return first.argmax(-1).sum().item<std::int64_t>();
}

std::int64_t loop(torch::jit::Module& module, const std::vector<std::string>& paths) {
  std::int64_t sum = 0;
  for (const std::string& path : paths) {
    Image image = decode(path);
    sum += labels(module, to_tensor(image.pixels.data(), 1, image));
  }
  return sum;
}

std::int64_t forward(torch::jit::Module& module, std::vector<std::uint8_t>& pixels,
                     const Image& image) {
  const std::size_t size = image.pixels.size();
  std::int64_t sum = 0;
  for (std::size_t at = 0; at < pixels.size(); at += kBatch * size) {
    const std::size_t count = std::min(kBatch, (pixels.size() - at) / size);
    sum += labels(module, to_tensor(pixels.data() + at, count, image));
  }
  return sum;
}

void measure(const std::string& mode, std::size_t images, const std::function<void()>& work) {
  const auto cores = [] {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
  };
  const double cores_before = cores();
  const auto before = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - before;
  std::cout << "{\"mode\": \"" << mode << "\", \"images\": " << images
            << ", \"seconds\": " << seconds.count()
            << ", \"core_seconds\": " << cores() - cores_before << "}\n";
}

void run(const std::string& model, const std::string& list, const std::string& mode) {
  std::vector<std::string> paths;
  std::ifstream lines(list);
  for (std::string line; std::getline(lines, line);) paths.push_back(line);
  if (paths.empty()) throw std::runtime_error(list + " names no file");
  const c10::InferenceMode guard;
  torch::jit::Module module = torch::jit::load(model);
  module.eval();
  volatile std::int64_t sum = 0;
  if (mode == "loop") {
    measure(mode, paths.size(), [&] { sum = loop(module, paths); });
  } else if (mode == "decode") {
    measure(mode, paths.size(), [&] {
      for (const std::string& path : paths) sum = sum + decode(path).pixels[0];
    });
  } else if (mode == "forward") {
    at::set_num_threads(1);
    const Image first = decode(paths[0]);
    std::vector<std::uint8_t> pixels;
    for (const std::string& path : paths) {
      const Image image = decode(path);
      if (image.pixels.size() != first.pixels.size()) throw std::runtime_error("two sizes");
      pixels.insert(pixels.end(), image.pixels.begin(), image.pixels.end());
    }
    module = torch::jit::optimize_for_inference(module);
    std::vector<std::uint8_t> few(
        pixels.begin(), pixels.begin() + static_cast<std::ptrdiff_t>(std::min(
                                             pixels.size(), kBatch * first.pixels.size())));
    for (int i = 0; i < 3; ++i) sum = forward(module, few, first);  // profiled, compiled
    measure(mode, paths.size(), [&] { sum = forward(module, pixels, first); });
  } else {
    throw std::runtime_error("no mode " + mode);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: bench_loop MODEL.pt LIST [loop|decode|forward]\n";
    return 2;
  }
  try {
    run(argv[1], argv[2], argc == 4 ? argv[3] : "loop");
  } catch (const std::exception& error) {
    std::cerr << "Error: " << error.what() << '\n';
    return 6;
  }
  return 0;
}

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "command.h"
#include "contract.h"
#include "errors.h"
#include "files.h"
#include "images.h"
#include "names.h"
#include "safetensors.h"
#include "vectors.h"

namespace fs = std::filesystem;

namespace {

/// A folder of its own for each test, gone afterwards.
class Folder : public ::testing::Test {
 protected:
  Folder() { fs::create_directories(path_); }
  ~Folder() override { fs::remove_all(path_); }

  [[nodiscard]] fs::path file(const std::string& name, const Bytes& data = {}) const {
    write_whole(path_ / name, data);
    return path_ / name;
  }

  // NOLINTNEXTLINE: the fixtures of gtest are protected
  const fs::path path_ =
      fs::temp_directory_path() / ("run_libtorch_tests-" + std::to_string(getpid()) + "-" +
                                   ::testing::UnitTest::GetInstance()->current_test_info()->name());
};

using Images = Folder;
using Patterns = Folder;
using Files = Folder;
using CommandLine = Folder;

Bytes bytes(const std::string& text) { return {text.begin(), text.end()}; }

Bytes number(std::uint32_t value) {
  Bytes result;
  for (int shift = 24; shift >= 0; shift -= 8) {
    result.push_back(static_cast<std::uint8_t>(value >> shift & 0xff));
  }
  return result;
}

void append(Bytes& to, const Bytes& more) { to.insert(to.end(), more.begin(), more.end()); }

Bytes chunk(const std::string& name, const Bytes& body) {
  Bytes named = bytes(name);
  append(named, body);
  Bytes result = number(static_cast<std::uint32_t>(body.size()));
  append(result, named);
  append(result, number(static_cast<std::uint32_t>(crc32_z(0, named.data(), named.size()))));
  return result;
}

/// A PNG of 8 bits a sample; `rows` hold a filter byte in front of each row.
Bytes png(std::uint32_t width, std::uint32_t height, std::uint8_t colour, const Bytes& rows,
          const Bytes& before_data = {}) {
  Bytes header = number(width);
  append(header, number(height));
  append(header, {8, colour, 0, 0, 0});
  uLongf size = compressBound(rows.size());
  Bytes packed(size);
  compress(packed.data(), &size, rows.data(), rows.size());
  packed.resize(size);
  Bytes file = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  append(file, chunk("IHDR", header));
  append(file, before_data);
  append(file, chunk("IDAT", packed));
  append(file, chunk("IEND", {}));
  return file;
}

/// What `work` throws as `Error`, or "" if nothing.
template <typename Error, typename Work>
std::string message(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string refusal(const fs::path& path) {
  return message<ImageError>([&] { (void)read_grey(path); });
}

std::string refusal(const Bytes& file) {
  return message<SafeTensorsError>([&] { (void)parse_safetensors(file); });
}

Tensor floats(const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
  Bytes data(values.size() * sizeof(float));
  std::memcpy(data.data(), values.data(), data.size());
  return {"float32", shape, data};
}

Bytes safetensors(const std::string& header, std::size_t data = 0) {
  Bytes file;
  for (int shift = 0; shift < 64; shift += 8) {
    file.push_back(static_cast<std::uint8_t>(std::uint64_t{header.size()} >> shift & 0xff));
  }
  append(file, bytes(header));
  append(file, Bytes(data));
  return file;
}

int run(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "run_libtorch");
  return run_command(static_cast<int>(arguments.size()), arguments.data());
}

constexpr char kContract[] = R"({
  "inputs": [{"name": "image", "dtype": "uint8", "axes": ["batch", 1, "height", "width"],
              "minimum": 0, "maximum": 255, "meaning": "image"}],
  "outputs": [{"name": "log_probs", "dtype": "float32", "axes": ["batch", 2],
               "minimum": null, "maximum": 0, "meaning": "logarithms"}],
  "labels": ["no", "yes"]})";

}  // namespace

TEST_F(Images, GreyKeepsItsValues) {
  const Grey grey = read_grey(file("grey.png", png(2, 2, 0, {0, 1, 2, 0, 3, 255})));

  EXPECT_EQ(grey.height, 2U);
  EXPECT_EQ(grey.width, 2U);
  EXPECT_EQ(grey.pixels, (Bytes{1, 2, 3, 255}));
}

TEST_F(Images, ColourBecomesLumaAndTransparencyWhite) {
  const Bytes rows = {0, 255, 0, 0, 255, 0, 255, 0, 128, 0, 0, 255, 1, 9, 9, 9, 0};

  const Grey grey = read_grey(file("rgba.png", png(4, 1, 6, rows)));

  EXPECT_EQ(grey.pixels, (Bytes{76, 202, 254, 255}));
}

TEST_F(Images, AKeyIsTransparent) {
  const Bytes key = chunk("tRNS", {0, 7});

  const Grey grey = read_grey(file("key.png", png(2, 1, 0, {0, 7, 8}, key)));

  EXPECT_EQ(grey.pixels, (Bytes{255, 8}));
}

TEST_F(Images, EachRefusalNamesFileAndReason) {
  const Bytes sound = png(2, 1, 0, {0, 7, 8});
  Bytes damaged = sound;
  damaged[sound.size() - 20] ^= 1;

  EXPECT_EQ(refusal(path_ / "no.png"), (path_ / "no.png").string() + ": no such file or directory");
  EXPECT_EQ(refusal(path_), path_.string() + ": is a directory");
  EXPECT_EQ(refusal(file("empty.png")), (path_ / "empty.png").string() + ": the file is empty");
  EXPECT_EQ(refusal(file("text.png", bytes("hello"))),
            (path_ / "text.png").string() + ": not a PNG file");
  EXPECT_NE(refusal(file("damaged.png", damaged)).find("bad checksum in IDAT at byte 33"),
            std::string::npos);
  EXPECT_NE(refusal(file("cut.png", Bytes(sound.begin(), sound.end() - 1))).find("truncated"),
            std::string::npos);
  EXPECT_NE(refusal(file("huge.png", png(65537, 1, 0, {}))).find("the limit is 65536 a side"),
            std::string::npos);
  EXPECT_NE(refusal(file("bomb.png", png(1, 1, 0, Bytes(1 << 20)))).find("more pixel data"),
            std::string::npos);
}

TEST(SafeTensors, WhatIsWrittenIsRead) {
  const Tensors tensors = {{"b", floats({2, 2}, {1, 2, 3, 4})},
                           {"a", {"uint8", {3}, {7, 8, 9}}},
                           {"none", {"int64", {0, 5}, {}}}};

  const Tensors read = parse_safetensors(dump_safetensors(tensors)).tensors;

  ASSERT_EQ(read.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(read.at(name).dtype, tensor.dtype);
    EXPECT_EQ(read.at(name).shape, tensor.shape);
    EXPECT_EQ(read.at(name).data, tensor.data);
  }
}

TEST(SafeTensors, MetadataIsRead) {
  const SafeTensors read = parse_safetensors(safetensors(R"({"__metadata__": {"a": "b"}})"));

  EXPECT_EQ(read.metadata.at("a"), "b");
  EXPECT_TRUE(read.tensors.empty());
}

TEST(SafeTensors, HostileFilesAreRefusedWithAReason) {
  const std::string entry = R"({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}})";
  ASSERT_EQ(refusal(safetensors(entry, 2)), "");

  EXPECT_EQ(refusal(Bytes{}), "the file is shorter than 8 bytes");
  EXPECT_EQ(refusal(Bytes(8, 0xff)), "the header is longer than 100 MB");
  EXPECT_EQ(refusal(Bytes{9, 0, 0, 0, 0, 0, 0, 0}), "the header is truncated");
  EXPECT_EQ(refusal(safetensors("{\"a\":")), "the header is not JSON");
  EXPECT_EQ(refusal(safetensors("{\"\xff\": 1}")), "the header is not JSON");
  EXPECT_EQ(refusal(safetensors("[]")), "the header is not an object");
  EXPECT_EQ(refusal(safetensors(R"({"a": {"shape": [], "shape": []}})")),
            "the header names shape twice");
  EXPECT_EQ(refusal(safetensors(R"({"a": 1})")), "an entry of the header is incomplete");
  EXPECT_EQ(refusal(safetensors(entry, 1)), "a lies outside the data");
  EXPECT_EQ(refusal(safetensors(entry, 3)), "bytes follow the last tensor");
  EXPECT_EQ(
      refusal(safetensors(R"({"a": {"dtype": "U8", "shape": [3], "data_offsets": [0, 2]}})", 2)),
      "a shape exceeds the data");
  EXPECT_EQ(
      refusal(safetensors(R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 2]}})", 2)),
      "a has another size than its shape");
  EXPECT_EQ(
      refusal(safetensors(R"({"a": {"dtype": "U8", "shape": [2], "data_offsets": [2, 0]}})", 2)),
      "a lies outside the data");
  EXPECT_EQ(
      refusal(safetensors(R"({"a": {"dtype": "U8", "shape": [-2], "data_offsets": [0, 2]}})", 2)),
      "a list holds something else than sizes");
  EXPECT_EQ(
      refusal(safetensors(R"({"a": {"dtype": "U9", "shape": [2], "data_offsets": [0, 2]}})", 2)),
      "unknown dtype U9");
  EXPECT_EQ(refusal(safetensors(R"({"a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]},
                                    "b": {"dtype": "U8", "shape": [2], "data_offsets": [1, 3]}})",
                                3)),
            "tensors overlap or leave a gap");
  EXPECT_EQ(refusal(safetensors(R"({"a": {"dtype": "I64", "shape": [4294967296, 4294967296],
                                          "data_offsets": [0, 0]}})")),
            "a shape exceeds the data");
}

TEST(SafeTensors, NoDamagedByteCrashesTheReader) {
  const Bytes sound = dump_safetensors({{"a", floats({2, 2}, {1, 2, 3, 4})}});
  std::size_t refused = 0;

  for (std::size_t i = 0; i < sound.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      Bytes damaged = sound;
      damaged[i] = static_cast<std::uint8_t>(damaged[i] ^ 1 << bit);
      refused += refusal(damaged).empty() ? 0 : 1;
    }
    refused += refusal(Bytes(sound.begin(), sound.begin() + static_cast<std::ptrdiff_t>(i))).empty()
                   ? 0
                   : 1;
  }

  EXPECT_GT(refused, sound.size() * 4);
}

TEST(Contracts, AreReadFromTheirJson) {
  const Contract contract = Contract::parse(kContract);

  EXPECT_EQ(contract.inputs.at(0).name, "image");
  EXPECT_EQ(contract.inputs.at(0).meaning, "image");
  EXPECT_EQ(contract.outputs.at(0).dtype, "float32");
  EXPECT_EQ(contract.labels, (std::vector<std::string>{"no", "yes"}));
  EXPECT_THROW((void)Contract::parse("{}"), ContractError);
  EXPECT_THROW((void)Contract::parse(""), ContractError);
}

TEST(Contracts, RefuseAnotherDtypeOrShape) {
  const TensorSpec spec = Contract::parse(kContract).inputs.at(0);
  const auto said = [&spec](const Tensor& tensor) {
    return message<ContractError>([&] { spec.check(tensor); });
  };

  EXPECT_EQ(said({"uint8", {7, 1, 1, 2}, Bytes(14)}), "");
  EXPECT_EQ(said({"float32", {1, 1, 1, 1}, Bytes(4)}),
            "image is float32(1, 1, 1, 1), the contract has uint8(batch, 1, height, width)");
  EXPECT_NE(said({"uint8", {1, 3, 1, 1}, Bytes(3)}), "");
  EXPECT_NE(said({"uint8", {1, 1, 1}, Bytes(1)}), "");
  EXPECT_NE(said({"uint8", {0, 1, 1, 1}, {}}), "");
}

TEST(Comparison, EqualAnswersDoNotDiffer) {
  const Tensor want = floats({1, 2}, {-0.5F, -1.0F});

  const Difference difference = compare(want, want, 0);

  EXPECT_EQ(difference.largest, 0);
  EXPECT_EQ(difference.flips, 0U);
}

TEST(Comparison, IsRelativeToOnePlusTheGoldenAnswer) {
  const Tensor want = floats({1, 2}, {-3, -8});

  const Difference difference = compare(floats({1, 2}, {-3, -9}), want, 1);

  EXPECT_DOUBLE_EQ(difference.largest, 1.0 / 9.0);
  EXPECT_EQ(difference.flips, 0U);
}

TEST(Comparison, NanNeverPasses) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor want = floats({2, 2}, {-1, -2, -3, -4});

  EXPECT_TRUE(std::isnan(compare(floats({2, 2}, {nan, -2, -3, -9}), want, 1).largest));
  EXPECT_TRUE(std::isnan(compare(want, floats({2, 2}, {-1, -2, -3, nan}), 1).largest));
  EXPECT_TRUE(std::isnan(compare(floats({1, 2}, {-1, -2}), want, 1).largest));
}

TEST(Comparison, AFlipCountsWhereTheMarginIsClear) {
  const Tensor want = floats({2, 2}, {-1.0F, -1.001F, -1.0F, -2.0F});
  const Tensor got = floats({2, 2}, {-1.001F, -1.0F, -2.0F, -1.0F});

  EXPECT_EQ(compare(got, want, 0.01).flips, 1U);
  EXPECT_EQ(compare(got, want, 0.0001).flips, 2U);
}

TEST_F(Files, AFailedWriteLeavesNothing) {
  const fs::path folder = path_ / "taken";
  fs::create_directories(folder / "full");

  EXPECT_THROW(write_whole(folder, bytes("new")), std::system_error);
  EXPECT_THROW(write_whole(path_ / "no" / "file", bytes("new")), std::system_error);

  EXPECT_FALSE(fs::exists(path_ / "taken.partial"));
  EXPECT_TRUE(fs::exists(folder / "full"));
}

TEST_F(Files, ReadingStopsAtTheLimit) {
  const fs::path path = file("long", Bytes(3'000'000, 7));

  EXPECT_EQ(read_file(path, 10).size(), 10U);
  EXPECT_EQ(read_file(path).size(), 3'000'000U);
}

TEST_F(Patterns, AreSortedByBytes) {
  for (const char* name : {"b.png", "B.png", "a.png", "\xc3\xa4.png", "c.txt", ".hidden.png"}) {
    (void)file(name);
  }

  const std::vector<std::string> paths = expand((path_ / "*.png").string());

  std::vector<std::string> names;
  for (const fs::path path : paths) names.push_back(path.filename().string());
  EXPECT_EQ(names, (std::vector<std::string>{"B.png", "a.png", "b.png", "\xc3\xa4.png"}));
}

TEST_F(Patterns, AnExistingPathIsLiteral) {
  (void)file("[ab].png");
  (void)file("a.png");

  EXPECT_EQ(expand((path_ / "[ab].png").string()).at(0), (path_ / "[ab].png").string());
  EXPECT_EQ(expand((path_ / "[a].png").string()).at(0), (path_ / "a.png").string());
  EXPECT_TRUE(expand((path_ / "[x].png").string()).empty());
}

TEST(Json, NumbersRoundTripAndNamesAreEscaped) {
  const std::string line = json_answer("a \"b\"\xc3\xa4\xff", "7", {-0.1F, -81.25F});

  EXPECT_EQ(line,
            "{\"path\": \"a \\\"b\\\"\\u00e4\\udcff\", \"label\": \"7\", "
            "\"log_probs\": [-0.10000000149011612, -81.25]}");
}

TEST_F(CommandLine, UsageErrorsExitWith2) {
  EXPECT_EQ(run({}), 2);
  EXPECT_EQ(run({"--nonsense"}), 2);
  EXPECT_EQ(run({"picture.png"}), 2);
  EXPECT_EQ(run({"--image"}), 2);
  EXPECT_EQ(run({"--image", "a", "--selftest"}), 2);
  EXPECT_EQ(run({"--image", "a", "--tensors", "b", "--out", "c"}), 2);
  EXPECT_EQ(run({"--tensors", "a"}), 2);
  EXPECT_EQ(run({"--selftest", "--out", "a"}), 2);
  EXPECT_EQ(run({"--selftest", "--json"}), 2);
}

TEST_F(CommandLine, AMissingOrForeignModelExitsWith6) {
  const std::string crate = path_.string();

  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run({"--crate", crate.c_str(), "--selftest"}), 6);
  const std::string missing = ::testing::internal::GetCapturedStderr();
  (void)file("model.pt", bytes("this is no archive"));
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(run({"--crate", crate.c_str(), "--selftest"}), 6);
  const std::string foreign = ::testing::internal::GetCapturedStderr();

  EXPECT_EQ(missing,
            "Error: " + crate + "/model.pt does not exist: --crate names the folder of a crate\n");
  EXPECT_EQ(foreign.rfind("Error: LibTorch ", 0), 0U) << foreign;
  EXPECT_EQ(foreign.find('\n'), foreign.size() - 1) << foreign;
}

TEST_F(CommandLine, HelpAndVersionAreNoErrors) {
  ::testing::internal::CaptureStdout();

  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_EQ(run({"--version"}), 0);

  const std::string shown = ::testing::internal::GetCapturedStdout();
  EXPECT_NE(shown.find("example: run_libtorch --image"), std::string::npos);
  EXPECT_NE(shown.find("(LibTorch "), std::string::npos);
}

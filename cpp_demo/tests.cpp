#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "ahead.h"
#include "command.h"
#include "contract.h"
#include "errors.h"
#include "files.h"
#include "images.h"
#include "names.h"
#include "safetensors.h"
#include "values.h"
#include "vectors.h"
#include "wording.h"

namespace fs = std::filesystem;
using namespace torchcrate;

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
  return message<ImageError>([&] { (void)read_picture(path, 1); });
}

std::string refusal(const Bytes& file) {
  return message<SafeTensorsError>([&] { (void)parse_safetensors(file); });
}

Tensor floats(const std::vector<std::int64_t>& shape, const std::vector<float>& values) {
  Bytes data(values.size() * sizeof(float));
  if (!data.empty()) std::memcpy(data.data(), values.data(), data.size());
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

constexpr char kTokens[] = R"({
  "inputs": [{"name": "tokens", "dtype": "int64", "axes": ["batch", "time"], "meaning": "tokens"},
             {"name": "mask", "dtype": "bool", "axes": ["batch", "time"], "meaning": "",
              "optional": true}],
  "outputs": [{"name": "tags", "dtype": "bool", "axes": ["batch", "time"], "meaning": ""},
              {"name": "score", "dtype": "float16", "axes": [], "meaning": ""}],
  "labels": [],
  "sizes": {"batch": {"minimum": 0, "maximum": null}, "time": {"minimum": 1, "maximum": 8}}})";

}  // namespace

TEST_F(Images, GreyKeepsItsValues) {
  const Picture grey = read_picture(file("grey.png", png(2, 2, 0, {0, 1, 2, 0, 3, 255})), 1);

  EXPECT_EQ(grey.height, 2U);
  EXPECT_EQ(grey.width, 2U);
  EXPECT_EQ(grey.pixels, (Bytes{1, 2, 3, 255}));
}

TEST_F(Images, ColoursBecomeLumaWhereOneChannelIsAskedAndTransparencyWhite) {
  const Bytes rows = {0, 255, 0, 0, 255, 0, 255, 0, 128, 0, 0, 255, 1, 9, 9, 9, 0};

  const fs::path path = file("rgba.png", png(4, 1, 6, rows));

  EXPECT_EQ(read_picture(path, 1).pixels, (Bytes{76, 202, 254, 255}));
  EXPECT_EQ(read_picture(path, 3).pixels,
            (Bytes{255, 127, 254, 255, 0, 255, 254, 255, 0, 127, 255, 255}));
}

TEST_F(Images, AKeyIsTransparent) {
  const Bytes key = chunk("tRNS", {0, 7});

  const Picture grey = read_picture(file("key.png", png(2, 1, 0, {0, 7, 8}, key)), 3);

  EXPECT_EQ(grey.pixels, (Bytes{255, 8, 255, 8, 255, 8}));
}

TEST_F(Images, EachFilterIsUndone) {
  const Bytes rows = {1, 10, 20, 30, 2, 1, 2, 3, 3, 5, 6, 7, 4, 1, 1, 1, 4, 0, 250, 9};

  const Picture grey = read_picture(file("filters.png", png(3, 5, 0, rows)), 1);

  EXPECT_EQ(grey.pixels, (Bytes{10, 30, 60, 11, 32, 63, 10, 27, 52, 11, 28, 53, 11, 22, 62}));
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
}

TEST(Contracts, ThatAreNoneAreRefusedInOneLine) {
  const auto said = [](const std::string& from, const std::string& to) {
    std::string text = kContract;
    text.replace(text.find(from), from.size(), to);
    return message<ContractError>([&] { (void)Contract::parse(text); });
  };
  const std::string outputs = "not a contract: outputs is no list of tensors with their axes";
  const std::string inputs = "not a contract: inputs is no list of tensors with their axes";
  ASSERT_EQ(said("\"batch\", 1", "\"batch\", 3"), "");

  EXPECT_EQ(message<ContractError>([] { (void)Contract::parse(""); }), "it carries no contract");
  EXPECT_EQ(message<ContractError>([] { (void)Contract::parse("[]"); }),
            "not a contract: no object of JSON");
  EXPECT_EQ(said("\"batch\", 2", "\"batch\", 0"), outputs);
  EXPECT_EQ(said("\"batch\", 2", "\"batch\", true"), outputs);
  EXPECT_EQ(said("\"batch\", 2", "\"batch\", 2.0"), outputs);
  EXPECT_EQ(said("\"batch\", 2", "\"\", 2"), outputs);
  EXPECT_EQ(said("float32", "bfloat16"), outputs);
  EXPECT_EQ(said("\"uint8\"", "8"), inputs);
  EXPECT_EQ(said("\"image\", \"dtype\"", "\"\", \"dtype\""), inputs);
  EXPECT_EQ(said("\"minimum\": 0", "\"optional\": 1"), inputs);
  EXPECT_EQ(said("log_probs", "image"), "not a contract: two tensors are called image");
  EXPECT_EQ(said("\"minimum\": null", "\"optional\": true"),
            "not a contract: an output is optional");
  EXPECT_EQ(said("\"yes\"", "1"), "not a contract: labels is no list of words");
  EXPECT_EQ(said("\"yes\"]", "\"yes\"], \"sizes\": 1"),
            "not a contract: sizes is no object of JSON");
  for (const char* limits :
       {"1", "{\"minimum\": -1}", "{\"minimum\": 3, \"maximum\": 2}", "{\"maximum\": \"2\"}"}) {
    EXPECT_EQ(said("\"yes\"]", std::string("\"yes\"], \"sizes\": {\"batch\": ") + limits + "}"),
              "not a contract: the limits of batch are no sizes");
  }
}

TEST(Contracts, RefuseAnotherDtypeOrShape) {
  const Contract contract = Contract::parse(kContract);
  const auto said = [&contract](const Tensor& tensor) {
    return message<ContractError>([&] { (void)contract.check_inputs({tensor}); });
  };

  EXPECT_EQ(said({"uint8", {7, 1, 1, 2}, Bytes(14)}), "");
  EXPECT_EQ(said({"float32", {1, 1, 1, 1}, Bytes(4)}),
            "image is float32(1, 1, 1, 1), the contract has uint8(batch, 1, height, width)");
  EXPECT_NE(said({"uint8", {1, 3, 1, 1}, Bytes(3)}), "");
  EXPECT_NE(said({"uint8", {1, 1, 1}, Bytes(1)}), "");
  EXPECT_EQ(said({"uint8", {0, 1, 1, 1}, {}}), "image has batch 0, the contract has 1 or more");
}

TEST(Contracts, TheSameWordIsTheSameSizeInAllTensorsOfACall) {
  const Contract contract = Contract::parse(kTokens);
  const auto tokens = [](std::int64_t batch, std::int64_t time) {
    return Tensor{"int64", {batch, time}, Bytes(static_cast<std::size_t>(8 * batch * time))};
  };
  const auto mask = [](std::int64_t batch, std::int64_t time) {
    return Tensor{"bool", {batch, time}, Bytes(static_cast<std::size_t>(batch * time))};
  };
  const auto said = [&contract](const Given& given, const std::vector<Tensor>& answers = {}) {
    return message<ContractError>([&] {
      const Sizes sizes = contract.check_inputs(given);
      if (!answers.empty()) contract.check_outputs(answers, sizes);
    });
  };
  const Tensor scalar{"float16", {}, Bytes(2)};

  EXPECT_EQ(said({tokens(0, 4), mask(0, 4)}), "");
  EXPECT_EQ(said({tokens(2, 4), {}}, {{"bool", {2, 4}, Bytes(8)}, scalar}), "");
  EXPECT_EQ(said({{}, mask(2, 4)}), "tensor tokens is missing");
  EXPECT_EQ(said({tokens(2, 4), mask(2, 5)}), "mask has time 5, tokens has 4");
  EXPECT_EQ(said({tokens(2, 9), {}}), "tokens has time 9, the contract has 1 to 8");
  EXPECT_EQ(said({tokens(2, 4), {}}, {{"bool", {3, 4}, Bytes(12)}, scalar}),
            "tags has batch 3, tokens has 2");
  EXPECT_EQ(said({tokens(2, 4), {}}, {scalar}),
            "the model answers with 1 tensors, the contract has 2");
}

TEST(Contracts, BoundValuesWhereTheDtypeHasOthers) {
  const auto said = [](const std::string& dtype, const std::string& ends, const Bytes& data) {
    const Contract contract = Contract::parse(
        R"({"inputs": [{"name": "x", "axes": ["n"], "meaning": "", "optional": true, "dtype": ")" +
        dtype + "\", " + ends + R"(}], "labels": [], "sizes": {"n": {"minimum": 0}},
        "outputs": [{"name": "y", "axes": [], "meaning": "", "dtype": "bool"}]})");
    EXPECT_EQ(message<ContractError>([&] { (void)contract.check_inputs({std::nullopt}); }), "");
    const auto size = static_cast<std::int64_t>(data.size() / (dtype == "float16" ? 2 : 1));
    const Tensor given{dtype, {size}, data};
    return message<ContractError>([&] { (void)contract.check_inputs({given}); });
  };

  EXPECT_EQ(said("uint8", R"("minimum": 0.0, "maximum": 255.0)", {0, 255}), "");
  EXPECT_EQ(said("uint8", R"("minimum": 1)", {}), "");
  EXPECT_EQ(said("uint8", R"("minimum": 1)", {0, 255}), "x holds 0, the contract has 1 or more");
  EXPECT_EQ(said("uint8", R"("maximum": 9)", {9, 10}), "x holds 10, the contract has 9 or less");
  EXPECT_EQ(said("int8", R"("minimum": -1, "maximum": 1.0)", {5, 0xfe}),
            "x holds -2, the contract has -1 to 1");
  EXPECT_EQ(said("bool", R"("minimum": 1, "maximum": 1)", {0}), "x holds 0, the contract has 1");
  EXPECT_EQ(said("float16", R"("minimum": 0.1)", {0x66, 0x2e}), "");  // 0.1 as it is in 16 bits
  EXPECT_EQ(said("float16", R"("minimum": 1e-5)", {0x01, 0xfe}),
            "x holds nan, the contract has 1e-05 or more");
}

TEST(Comparison, EqualAnswersDoNotDiffer) {
  const Tensor want = floats({1, 2}, {-0.5F, -INFINITY});

  EXPECT_EQ(difference(want, want), 0);
  EXPECT_EQ(flips(want, want, 0), 0U);
  EXPECT_EQ(difference(floats({0, 2}, {}), floats({0, 2}, {})), 0);
}

TEST(Comparison, IsRelativeToOnePlusTheGoldenAnswer) {
  const Tensor want = floats({1, 2}, {-3, -8});

  EXPECT_DOUBLE_EQ(difference(floats({1, 2}, {-3, -9}), want), 1.0 / 9.0);
}

TEST(Comparison, NanNeverPasses) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor want = floats({2, 2}, {-1, -2, -3, -4});

  EXPECT_TRUE(std::isnan(difference(floats({2, 2}, {nan, -2, -3, -9}), want)));
  EXPECT_TRUE(std::isnan(difference(want, floats({2, 2}, {-1, -2, -3, nan}))));
  EXPECT_TRUE(std::isnan(difference(floats({1}, {nan}), floats({1}, {nan}))));
  EXPECT_TRUE(std::isnan(difference(floats({1}, {INFINITY}), floats({1}, {-INFINITY}))));
  EXPECT_TRUE(std::isnan(difference(floats({1, 2}, {-1, -2}), want)));
  EXPECT_TRUE(std::isnan(difference({"int32", {1}, Bytes(4)}, floats({1}, {0}))));
}

TEST(Comparison, KnowsEveryDtype) {
  const Tensor halves{"float16", {3}, {0x00, 0x3c, 0x01, 0x00, 0xff, 0xfb}};

  EXPECT_EQ(widened(halves), (std::vector<double>{1, std::ldexp(1.0, -24), -65504}));
  EXPECT_EQ(difference({"bool", {2}, {1, 0}}, {"bool", {2}, {1, 1}}), 0.5);
  for (const DType& dtype : kDTypes) {
    Bytes data;
    const bool is_bool = std::string(dtype.word) == "bool";
    EXPECT_EQ(appender(dtype.word).whole(data, 1), !is_bool) << dtype.word;
    if (is_bool) data = {1};
    EXPECT_EQ(widened({dtype.word, {1}, data}), (std::vector<double>{1})) << dtype.word;
  }
}

TEST(Comparison, AFlipCountsWhereTheMarginIsClear) {
  const Tensor want = floats({1, 2, 2}, {-1.0F, -1.001F, -1.0F, -2.0F});
  const Tensor got = floats({1, 2, 2}, {-1.001F, -1.0F, -2.0F, -1.0F});

  EXPECT_EQ(flips(got, want, 0.01), 1U);
  EXPECT_EQ(flips(got, want, 0.0001), 2U);
}

TEST(Values, HalvesAreRoundedToTheNearestAndTiesToEven) {
  const auto bits = [](double value) {
    Bytes data;
    return appender("float16").real(data, value) ? data[0] | data[1] << 8 : -1;
  };

  EXPECT_EQ(bits(1), 0x3c00);
  EXPECT_EQ(bits(-0.0), 0x8000);
  EXPECT_EQ(bits(1 + std::ldexp(1, -11)), 0x3c00);
  EXPECT_EQ(bits(1 + std::ldexp(3, -11)), 0x3c02);
  EXPECT_EQ(bits(2 - std::ldexp(1, -12)), 0x4000);
  EXPECT_EQ(bits(std::ldexp(1, -24)), 0x0001);
  EXPECT_EQ(bits(std::ldexp(1, -25)), 0x0000);
  EXPECT_EQ(bits(std::ldexp(1, -14)), 0x0400);
  EXPECT_EQ(bits(65519), 0x7bff);
  EXPECT_EQ(bits(65520), -1);
  EXPECT_EQ(bits(-INFINITY), 0xfc00);
  EXPECT_EQ(bits(NAN), 0x7e00);
}

TEST(Values, WhatADtypeCannotHoldIsRefused) {
  Bytes data;

  EXPECT_FALSE(appender("uint8").whole(data, 256));
  EXPECT_FALSE(appender("uint8").whole(data, -1));
  EXPECT_FALSE(appender("int64").real(data, 0.5));
  EXPECT_FALSE(appender("float32").real(data, 1e39));
  EXPECT_TRUE(data.empty());
}

TEST(Wording, TheMeaningOfTheFirstOutputMakesThePercentage) {
  Contract contract = Contract::parse(kContract);
  const auto said = [&contract](const std::string& meaning, const Tensor& answer) {
    contract.outputs[0].meaning = meaning;
    return line(contract, "a.png", {answer});
  };

  EXPECT_EQ(said("probabilities", floats({2}, {0.25F, 0.75F})), "Image is a yes (75.0 %)  a.png");
  EXPECT_EQ(said("log-probabilities", floats({2}, {-0.1F, -9})), "Image is a no (90.5 %)  a.png");
  EXPECT_EQ(said("logits", floats({2}, {1000, 1000})), "Image is a no (50.0 %)  a.png");
  EXPECT_EQ(said("scores", floats({2}, {1, 2})), "Image is a yes  a.png");
  EXPECT_THROW((void)said("scores", floats({3}, {1, 2, 3})), ContractError);
}

TEST(Wording, WithoutLabelsFewNumbersAreShownAndOfManyTheShape) {
  Contract contract = Contract::parse(kTokens);

  EXPECT_EQ(line(contract, "a.png", {{"bool", {2}, {1, 0}}, floats({}, {0.1F})}),
            "tags [true, false], score 0.1  a.png");
  EXPECT_EQ(line(contract, "a.png", {{"bool", {2, 8}, Bytes(16)}, {"int8", {1}, {0xff}}}),
            "tags bool(2, 8), score [-1]  a.png");
  EXPECT_EQ(line(contract, "a.png", {{"bool", {1}, {1}}, floats({2}, {-NAN, -INFINITY})}),
            "tags [true], score [nan, -inf]  a.png");
}

TEST(Wording, JsonRoundTripsAndNamesAreEscaped) {
  const Contract contract = Contract::parse(kContract);

  EXPECT_EQ(json_line(contract, "a \"b\"\xc3\xa4\xff", {floats({2}, {-81.25F, -0.1F})}),
            "{\"path\": \"a \\\"b\\\"\\u00e4\\udcff\", \"label\": \"yes\", "
            "\"log_probs\": [-81.25, -0.10000000149011612]}");
  EXPECT_EQ(json_outputs(contract, {floats({2, 2}, {2, NAN, INFINITY, -INFINITY})}),
            "{\"log_probs\": [[2.0, null], [null, null]]}");
  EXPECT_EQ(json_outputs(contract, {{"bool", {0, 2}, {}}}), "{\"log_probs\": []}");
  EXPECT_EQ(json_outputs(contract, {{"uint8", {}, {200}}}), "{\"log_probs\": 200}");
}

TEST(Ahead, WhatIsSaidComesInOrderWhoeverIsFirst) {
  constexpr std::size_t kPieces = 200;
  std::size_t taken = 0;
  std::string out;
  std::atomic<int> inside{0};
  Tasks tasks;
  tasks.take = [&](Piece& piece) {
    piece = {{std::to_string(taken), true}};
    return taken++ < kPieces;
  };
  tasks.answer = [&](const Piece& piece, const std::function<void(Said)>& say) {
    std::this_thread::sleep_for(std::chrono::microseconds(std::stoul(piece[0].path) * 7919 % 300));
    say({piece[0].path + "a ", ""});
    say({piece[0].path + "b ", ""});
  };
  tasks.deliver = [&](const Said& said) {
    EXPECT_EQ(++inside, 1);
    out += said.out;
    --inside;
  };
  std::string want;
  for (std::size_t i = 0; i < kPieces; ++i) {
    want += std::to_string(i) + "a " + std::to_string(i) + "b ";
  }

  in_order(8, tasks);

  EXPECT_EQ(out, want);
}

TEST(Ahead, NoMoreThanTwoPiecesAThreadAreUnderWay) {
  std::size_t taken = 0;
  std::size_t delivered = 0;
  std::size_t most = 0;
  Tasks tasks;
  tasks.take = [&](Piece& piece) {
    piece = {{"", true}};
    most = std::max(most, ++taken - delivered);
    return taken <= 100;
  };
  tasks.answer = [](const Piece&, const std::function<void(Said)>& say) {
    say({std::string(3 << 20, 'x'), ""});
  };
  tasks.deliver = [&](const Said&) {
    ++delivered;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  };

  in_order(3, tasks);

  EXPECT_EQ(delivered, 100U);
  EXPECT_LE(most, 7U);  // the last one is the look for more
}

TEST(Ahead, AFailureComesInItsPlaceAndNothingAfterIt) {
  for (const std::string where : {"take", "answer", "deliver"}) {
    std::size_t taken = 0;
    std::string out;
    Tasks tasks;
    tasks.take = [&](Piece& piece) {
      piece = {{std::to_string(taken), true}};
      if (where == "take" && taken == 20) throw RunnerError("20 failed");
      return taken++ < 100;
    };
    tasks.answer = [&](const Piece& piece, const std::function<void(Said)>& say) {
      const std::string& name = piece[0].path;
      if (where == "answer" && name == "20") throw RunnerError("20 failed");
      if (name == "19") std::this_thread::sleep_for(std::chrono::milliseconds(5));
      say({name + " ", ""});
    };
    tasks.deliver = [&](const Said& said) {
      if (where == "deliver" && said.out == "20 ") throw RunnerError("20 failed");
      out += said.out;
    };
    std::string want;
    for (int i = 0; i < 20; ++i) want += std::to_string(i) + " ";

    EXPECT_EQ(message<RunnerError>([&] { in_order(4, tasks); }), "20 failed") << where;
    EXPECT_EQ(out, want) << where;
  }
}

TEST(Ahead, OneThreadIsTheCaller) {
  bool more = true;
  std::thread::id answered;
  Tasks tasks;
  tasks.take = [&](Piece&) { return std::exchange(more, false); };
  tasks.answer = [&](const Piece&, const auto&) { answered = std::this_thread::get_id(); };
  tasks.deliver = [](const Said&) {};

  in_order(1, tasks);

  EXPECT_EQ(answered, std::this_thread::get_id());
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

TEST_F(Patterns, ComeOneAfterTheOtherAndOneInVainIsTold) {
  const std::string a = file("a.png").string();
  Names names({(path_ / "x*").string(), a, (path_ / "*.png").string()});

  EXPECT_TRUE(names.hold(3));
  EXPECT_FALSE(names.hold(4));
  const std::optional<Named> vain = names.next();
  ASSERT_TRUE(vain);
  EXPECT_EQ(vain->path, (path_ / "x*").string());
  EXPECT_FALSE(vain->found);
  EXPECT_EQ(names.next().value_or(Named{}).path, a);
  EXPECT_TRUE(names.next().value_or(Named{}).found);
  EXPECT_FALSE(names.next());
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
  EXPECT_EQ(run({"--tensors", "a", "--out", "b", "--json"}), 2);
  EXPECT_EQ(run({"--selftest", "--device", "tpu"}), 2);
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

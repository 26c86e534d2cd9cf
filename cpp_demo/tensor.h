#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "files.h"

namespace torchcrate {

/// Numbers in row-major order, little endian, as they lie in a safetensors file.
struct Tensor {
  std::string dtype;  ///< the contract's word: "uint8", "float32", ...
  std::vector<std::int64_t> shape;
  Bytes data;
};

using Tensors = std::map<std::string, Tensor>;

/// One tensor for each input of a contract, in its order; nothing for one that is absent.
using Given = std::vector<std::optional<Tensor>>;

/// What one dtype is called in a contract and in a safetensors file, and its size.
struct DType {
  const char* word;
  const char* safetensors;
  std::size_t size;  ///< bytes an element
};

constexpr DType kDTypes[] = {
    {"bool", "BOOL", 1},   {"uint8", "U8", 1},    {"int8", "I8", 1},
    {"int16", "I16", 2},   {"int32", "I32", 4},   {"int64", "I64", 8},
    {"float16", "F16", 2}, {"float32", "F32", 4}, {"float64", "F64", 8},
};

}  // namespace torchcrate

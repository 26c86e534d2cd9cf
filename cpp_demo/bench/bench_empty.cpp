// The least that a program can do that has LibTorch: load it, call one function, end.

#include <torch/types.h>

int main() { return torch::zeros({1}).numel() == 1 ? 0 : 1; }

#pragma once

namespace torchcrate {

/// Runs the command line, the same as that of command.py.
///
/// Exit codes: 0 all answered, 1 an image or a line could not be read, 2 usage, 3 tensors that
/// break the contract, 5 golden vectors off, 6 LibTorch or the model's file refused.
[[nodiscard]] int run_command(int argc, const char* const* argv);

}  // namespace torchcrate

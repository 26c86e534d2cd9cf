#pragma once

#include <string>
#include <vector>

/// Returns the line of --json for an answered image.
/// @param log_probs  (C,) natural logarithms; printed so that they round-trip.
[[nodiscard]] std::string json_answer(const std::string& path, const std::string& label,
                                      const std::vector<float>& log_probs);

/// Runs the command line, the same as that of command.py.
///
/// Exit codes: 0 all answered, 1 an image could not be read, 2 usage, 3 tensors that
/// break the contract, 5 golden vectors off, 6 LibTorch or the model's file refused.
[[nodiscard]] int run_command(int argc, const char* const* argv);

#pragma once

#include <stdexcept>
#include <string>

namespace torchcrate {

/// Something a user can cause or fix; its text is one line for people. Mirrors
/// errors.py: each kind has its exit code. Anything else that escapes is a bug.
class CrateError : public std::runtime_error {
 public:
  CrateError(int exit_code, const std::string& message)
      : std::runtime_error(message), exit_code_(exit_code) {}

  [[nodiscard]] int exit_code() const noexcept { return exit_code_; }

 private:
  int exit_code_;
};

/// Whoever reads our answers went away, say `| head`; nothing is wrong.
struct NobodyReads : CrateError {
  NobodyReads() : CrateError(0, "nobody reads") {}
};

/// The command line names something that cannot be.
struct UsageError : CrateError {
  explicit UsageError(const std::string& message) : CrateError(2, message) {}
};

/// An input or a contract breaks the contract.
struct ContractError : CrateError {
  explicit ContractError(const std::string& message) : CrateError(3, message) {}
};

/// An answer disagrees with the golden one beyond its tolerance.
struct ParityError : CrateError {
  explicit ParityError(const std::string& message) : CrateError(5, message) {}
};

/// The runtime refused a file, or the file that it needs is not there.
struct RunnerError : CrateError {
  explicit RunnerError(const std::string& message) : CrateError(6, message) {}
};

}  // namespace torchcrate

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "command.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // what is written for nobody fails, and is answered in one place
  std::ios::sync_with_stdio(false);  // lines are read in one go, not letter by letter
  const int code = torchcrate::run_command(argc, argv);
  std::cout.flush();
  std::fflush(nullptr);
  // Everything is written. Taking LibTorch's tables apart, as returning would, takes a quarter of
  // the time of a short run.
  std::_Exit(code);
}

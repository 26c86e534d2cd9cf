// A tool for tests: prints each PNG file named as a PGM image, or a line on why not.

#include <iostream>

#include "images.h"

int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    try {
      const Grey grey = read_grey(argv[i]);
      std::cout << "P5\n" << grey.width << ' ' << grey.height << "\n255\n";
      std::cout.write(reinterpret_cast<const char*>(grey.pixels.data()),
                      static_cast<std::streamsize>(grey.pixels.size()));
    } catch (const ImageError& error) {
      std::cout << "Error: " << error.what() << '\n';
    }
  }
  return 0;
}

// A tool for tests: prints each PNG file named as a PGM image, or after --rgb as a PPM image, or
// a line on why not.

#include <iostream>
#include <string>

#include "images.h"

using namespace torchcrate;

int main(int argc, char** argv) {
  const bool colours = argc > 1 && std::string(argv[1]) == "--rgb";
  for (int i = colours ? 2 : 1; i < argc; ++i) {
    try {
      const Picture picture = read_picture(argv[i], colours ? 3 : 1);
      std::cout << (colours ? "P6" : "P5") << '\n'
                << picture.width << ' ' << picture.height << "\n255\n";
      const std::size_t area = picture.height * picture.width;
      for (std::size_t at = 0; at < area; ++at) {  // planes here, pixels there
        for (std::size_t byte = at; byte < picture.pixels.size(); byte += area) {
          std::cout.put(static_cast<char>(picture.pixels[byte]));
        }
      }
    } catch (const ImageError& error) {
      std::cout << "Error: " << error.what() << '\n';
    }
  }
  return 0;
}

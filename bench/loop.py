"""The loop that tutorials show, in Python: open one image, ask the runtime, print the label.

    python -m torchcrate.bench.loop RUNTIME CRATE LIST INPUT

LIST names a PNG a line, INPUT is what the contract calls the image. Nothing is batched, checked
or tuned.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from torchcrate.bench.bare import Array, bare


def main(runtime: str, crate: str, names: str, name: str) -> int:
    """Print the number of the best label of each image."""
    paths = Path(names).read_text().splitlines()
    mode = "RGB" if Image.open(paths[0]).mode == "RGB" else "L"
    ask = bare(runtime, Path(crate), {name: _pixels(paths[0], mode)})
    for path in paths:
        answer = ask.call(ask.prepare(_pixels(path, mode)))
        first = answer[0] if isinstance(answer, list | tuple) else answer
        print(int(np.asarray(first).argmax()))
    return 0


def _pixels(path: str, mode: str) -> Array:
    """Return a batch of one image, (1, channels, H, W) uint8."""
    image = np.array(Image.open(path).convert(mode))
    return image.reshape(1, *image.shape[:2], -1).transpose(0, 3, 1, 2)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

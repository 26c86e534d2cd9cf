"""What the four programs are asked: patterns in every size and batch, drawings, MNIST."""

from pathlib import Path

from torchcrate.model import mnist
from torchcrate.model.samples import PATTERNS, SIZES, Pixels, drawings, pattern

BATCHES = (1, 2, 7, 64)
_LARGE = 1_000_000  # pixels of a batch past which only the telling pattern is asked
_TELLING = "strokes"


def cases() -> dict[str, Pixels]:
    """Return the inputs that need no data set by name, each (N, 1, H, W) uint8."""
    named: dict[str, Pixels] = {f"drawing-{name}": image for name, image in drawings().items()}
    for height, width in SIZES:
        for batch in BATCHES:
            small = batch * height * width <= _LARGE
            for name in PATTERNS if small else (_TELLING,):
                images = pattern(name, batch, height, width)
                named[f"{name}-{batch}x{height}x{width}"] = images
    return named


def mnist_cases(data_dir: Path) -> dict[str, Pixels]:
    """Return the 10,000 test images in batches of 1,000 by name.

    Raises:
        FolderError: If the data cannot be read.
    """
    images = mnist.load(data_dir, train=False)[0].numpy()
    return {f"mnist-{start:05}": images[start : start + 1000] for start in range(0, 10_000, 1000)}

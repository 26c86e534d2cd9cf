"""Inputs that need no data set: committed drawings and seeded patterns. Needs no torch."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torchcrate.model.spec import Cases

Pixels = NDArray[np.uint8]

DRAWINGS = Path(__file__).parent / "samples"  # eight-bit grey PNGs named DIGIT-*.png
BATCHES = (1, 2, 7, 64)
SIZES = ((1, 1), (20, 20), (28, 28), (57, 91), (280, 280), (480, 640))


_LARGE = 1_000_000  # pixels of a batch past which only the telling pattern is asked
_TELLING = "strokes"


def samples() -> Cases:
    """Return what the default network is judged with: drawings, patterns of any size and batch."""
    cases = {f"drawing-{name}": {"image": image} for name, image in drawings().items()}
    for height, width in SIZES:
        for batch in BATCHES:
            small = batch * height * width <= _LARGE
            for name in PATTERNS if small else (_TELLING,):
                images = pattern(name, batch, height, width)
                cases[f"{name}-{batch}x{height}x{width}"] = {"image": images}
    return cases


def golden() -> Cases:
    """Return the small batches whose answers travel with the crate: patterns and drawings."""
    cases = {
        f"drawing-{name.removesuffix('.png')}": {"image": image}
        for name, image in drawings().items()
    }
    for height, width in SIZES:
        batch = 1 if height * width > 100_000 else 2
        for name in PATTERNS if height * width < 10_000 else (_TELLING,):
            images = pattern(name, batch, height, width)
            cases[f"{name}-{batch}x{height}x{width}"] = {"image": images}
    return cases


def drawings() -> dict[str, Pixels]:
    """Return the committed drawings by file name, each (1, 1, H, W) uint8."""
    return {path.name: _grey(path) for path in sorted(DRAWINGS.glob("*.png"))}


PATTERNS = ("black", "white", "ramp", "noise", "strokes", "ties", "boxes")


def patterns(batch: int, height: int, width: int) -> dict[str, Pixels]:
    """Return all patterns of one size by name, each (batch, 1, height, width) uint8."""
    return {name: pattern(name, batch, height, width) for name in PATTERNS}


def pattern(name: str, batch: int, height: int, width: int) -> Pixels:
    """Return one seeded pattern, (batch, 1, height, width) uint8; see `ties` and `boxes`."""
    shape = (batch, 1, height, width)
    chance = np.random.default_rng([PATTERNS.index(name), batch, height, width])
    if name == "noise":
        return chance.integers(0, 256, shape, np.uint8)
    if name == "strokes":
        return _strokes(shape, chance)
    if name == "ties":
        return ties(shape, chance)
    if name == "boxes":
        return boxes(shape, chance)
    ramp = np.linspace(0, 255, height * width).reshape(1, 1, height, width)
    level = {"black": np.zeros((1, 1, 1, 1)), "white": np.full((1, 1, 1, 1), 255), "ramp": ramp}
    return np.ascontiguousarray(np.broadcast_to(level[name], shape), np.uint8)


def ties(shape: tuple[int, int, int, int], chance: np.random.Generator) -> Pixels:
    """Return images (N, 1, H, W) uint8 whose border sums to exactly half the contrast.

    The border alternates v and S - v, S the sum of the darkest and the lightest value, so
    that with the corners counted twice its mean is S / 2.
    """
    _, _, height, width = shape
    images = np.empty(shape, np.uint8)
    edge = np.zeros((height, width), bool)
    edge[[0, -1], :] = edge[:, [0, -1]] = True
    for image in images[:, 0]:
        low, high = sorted(chance.integers(0, 256, 2))
        image[...] = chance.integers(low, high + 1, (height, width))
        value = chance.integers(low, high + 1)
        order = np.indices((height, width)).sum(0) % 2 == 0
        if height % 2 and width % 2:  # all four corners fell to one side
            order[0, 0] = False
        image[edge & order] = value
        image[edge & ~order] = low + high - value
        if height > 2 and width > 2:
            image[1, 1], image[-2, -2] = low, high
    return images


def boxes(shape: tuple[int, int, int, int], chance: np.random.Generator) -> Pixels:
    """Return images (N, 1, H, W) uint8 with a block of ink in one of exactly half that strength.

    Ink counts past an eighth of the contrast c, and the box holds what is stronger than half
    of the strongest: 8 d - c > 7 c / 2 for a difference d to the paper. At c = 16 k this is
    a tie for d = 9 k, and the box is the inner block; were a tie in it, it would be the outer.
    Half of the images are dark on light. One too small for two blocks and a border is blank.
    """
    _, _, height, width = shape
    images = np.empty(shape, np.uint8)
    for number, image in enumerate(images[:, 0]):
        k = chance.integers(1, 16)
        low = chance.integers(0, 256 - 16 * k)
        paper, ink = (low, k) if number % 2 else (low + 16 * k, -k)
        image[...] = paper
        if min(height, width) < 6:
            continue
        top, upper, lower, bottom = np.sort(chance.permutation(np.arange(1, height - 1))[:4])
        left, inner, outer, right = np.sort(chance.permutation(np.arange(1, width - 1))[:4])
        image[top : bottom + 1, left : right + 1] = paper + 9 * ink
        image[upper : lower + 1, inner : outer + 1] = paper + 16 * ink
    return images


def _strokes(shape: tuple[int, int, int, int], chance: np.random.Generator) -> Pixels:
    """Return a few bars of ink on paper, half of the images dark on light."""
    images = np.zeros(shape, np.uint8)
    _, _, height, width = shape
    for number, image in enumerate(images[:, 0]):
        for _ in range(3):
            top, bottom = sorted(chance.integers(0, height, 2))
            left, right = sorted(chance.integers(0, width, 2))
            image[top : bottom + 1, left : left + 1 + width // 10] = 255
            image[top : top + 1 + height // 10, left : right + 1] = 200
        if number % 2:
            image[...] = 255 - image
    return images


def _grey(path: Path) -> Pixels:
    with Image.open(path) as image:
        if image.mode != "L":
            raise ValueError(f"{path.name} must be an eight-bit grey PNG, not {image.mode}")
        pixels: NDArray[Any] = np.array(image)
    return pixels[None, None]

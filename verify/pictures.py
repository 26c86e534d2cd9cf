"""What the four programs are asked with `--image`: drawings, and PNG files of every kind.

The strokes of a picture are no plain black: neighbours differ in colour, alpha, and by one bit
from the key of transparency. So a program that takes any of these in another way than the
decode rule says gives another answer, by far more than a limit allows.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchcrate.model.contract import Contract, Sizes, TensorSpec
from torchcrate.model.samples import DRAWINGS, Pixels, drawings
from torchcrate.verify.png import GREY, GREY_ALPHA, PALETTE, RGB, RGB_ALPHA, Png, Samples

KINDS = (
    *((GREY, depth, clear) for depth in (1, 2, 4, 8, 16) for clear in (False, True)),
    *((RGB, depth, clear) for depth in (8, 16) for clear in (False, True)),
    *((colour, depth, False) for colour in (GREY_ALPHA, RGB_ALPHA) for depth in (8, 16)),
    *((PALETTE, depth, True) for depth in (1, 2, 4, 8)),
    (PALETTE, 8, False),
)
"""Colour type, bits a sample, and whether there is a chunk tRNS."""

_SMALL = 6_000  # pixels of a drawing that is large enough to be told
_DARK = 0.6  # of the largest value: no ink is lighter

Mask = NDArray[np.bool_]


def shown(folder: Path, contract: Contract) -> dict[Path, Pixels]:
    """Return the files to ask, and the pixels to be seen in each, (1, C, H, W) uint8.

    They are the committed drawings that fit, and `pictures`, which are written into `folder`, of
    the size that the contract's image has where it is fixed, and within its limits. None if it
    takes no images.
    """
    if contract.image is None:
        return {}
    channels = contract.image.axes[1]
    files: dict[Path, Pixels] = {}
    if channels == 1:
        files = {
            DRAWINGS / name: grey
            for name, grey in drawings().items()
            if _fitted(grey.shape[2:], contract.image, contract) == grey.shape[2:]
        }
    for picture in pictures():
        fitted = picture.resized(*_fitted(picture.samples.shape[:2], contract.image, contract))
        path = folder / fitted.name
        path.write_bytes(fitted.encode())
        files[path] = fitted.grey() if channels == 1 else fitted.rgb()
    return files


def _fitted(size: tuple[int, ...], image: TensorSpec, contract: Contract) -> tuple[int, int]:
    """Return the height and width that an image may have which are the nearest to `size`."""
    height, width = image.axes[2:]
    if height == width:
        size = (min(size), min(size))
    fitted = []
    for own, axis in zip(size, (height, width), strict=True):
        limits = Sizes(axis, axis) if isinstance(axis, int) else contract.sizes_of(axis)
        most = own if limits.maximum is None else min(own, limits.maximum)
        fitted.append(max(limits.minimum, most))
    return fitted[0], fitted[1]


def pictures() -> tuple[Png, ...]:
    """Return a picture of each of KINDS, plain and interlaced; the same ones in every call."""
    digits = [grey[0, 0].astype(int) for grey in drawings().values() if grey.size < _SMALL]
    drawn: list[Png] = []
    for number, (colour, depth, clear) in enumerate(KINDS):
        for interlaced in (False, True):
            digit = digits[len(drawn) % len(digits)]
            inked = np.abs(digit - digit[0, 0]) > 64
            chance = np.random.default_rng([number, interlaced])
            palette, key = None, None
            if colour == PALETTE:
                samples, palette, key = _indices(inked, depth, clear, chance)
            elif colour in (GREY_ALPHA, RGB_ALPHA):
                samples = _veiled(inked, 1 if colour == GREY_ALPHA else 3, depth, chance)
            else:
                samples, key = _keyed(inked, 1 if colour == GREY else 3, depth, clear, chance)
            drawn.append(Png(samples, colour, depth, interlaced, palette, key))
    return tuple(drawn)


def _keyed(
    inked: Mask, colours: int, depth: int, clear: bool, chance: np.random.Generator
) -> tuple[Samples, Samples | None]:
    """Return samples, (H, W, colours), and a key, (colours,), or None if nothing is to be clear.

    A third of the ink has the key's very colour, a third misses it by one bit of one channel;
    with one bit in all, the picture is blank unless a program overlooks the key.
    """
    most = 2**depth - 1
    dark = int(_DARK * most) + 1
    shape = (*inked.shape, colours)
    ink, paper = chance.integers(0, dark, shape), np.full(shape, most)
    if not clear:
        return np.where(inked[..., None], ink, paper), None
    key = chance.integers(min(1, dark - 1), dark, colours)  # 0 is what a decoder may start from
    one = (*inked.shape, 1)
    bit = 1 << 8 * chance.integers(0, max(1, depth // 8), one)  # the lowest of either byte
    channel = np.arange(colours) == chance.integers(0, colours, one)
    third = np.broadcast_to(chance.integers(0, 3, one), shape)
    ink = np.choose(third, [ink, np.broadcast_to(key, shape), np.where(channel, key ^ bit, key)])
    return np.where(inked[..., None], ink, paper), key


def _veiled(inked: Mask, colours: int, depth: int, chance: np.random.Generator) -> Samples:
    """Return samples with alpha, (H, W, colours + 1).

    Each pixel of ink has a colour and an alpha of its own. Half of the paper is white, whatever
    its alpha is, and the other half is clear, whatever its colour is.
    """
    most = 2**depth - 1
    shape, one = (*inked.shape, colours), (*inked.shape, 1)
    ink = chance.integers(0, int(_DARK * most) + 1, shape)
    veil = chance.integers(most // 2, most + 1, one)
    white = chance.integers(0, 2, one) > 0
    paper = np.where(white, most, chance.integers(0, most + 1, shape))
    # Of 16 bits the high byte counts alone, so that any of 0 to 255 is clear.
    alpha = np.where(
        white, chance.integers(0, most + 1, one), chance.integers(0, 1 << depth - 8, one)
    )
    inside = inked[..., None]
    return np.concatenate([np.where(inside, ink, paper), np.where(inside, veil, alpha)], 2)


def _indices(
    inked: Mask, depth: int, clear: bool, chance: np.random.Generator
) -> tuple[Samples, Samples, Samples | None]:
    """Return indices, (H, W, 1), a palette, (2 ** depth, 3), and the alpha of its first entries.

    A quarter of the entries each are clear and of an ink's colour; ink with alpha; ink past
    the end of tRNS; white. Two entries are one that is clear and one that is ink, both black.
    """
    entries = 2**depth
    quarter = np.arange(entries) * 4 // entries
    palette = chance.integers(0, int(_DARK * 255) + 1, (entries, 3))
    if entries == 2:
        palette[...] = 0  # of two greys the network sees only that they differ
    palette[quarter == 0] = palette[quarter == 2] if clear else 255
    palette[quarter == 3] = 255
    alpha = np.where(quarter == 0, 0, chance.integers(100, 256, entries))[quarter < 2]
    is_paper = (quarter == 0) | (quarter == 3)
    ink, paper = np.flatnonzero(~is_paper), np.flatnonzero(is_paper)
    indices = np.where(inked, chance.choice(ink, inked.shape), chance.choice(paper, inked.shape))
    return indices[..., None], palette, alpha if clear else None

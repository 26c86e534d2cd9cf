"""PNG files to grey pixels: the one thing that the graph leaves to a runner.

The decode rule, the same in Python and C++ (`images.cpp` refers to this text):

1. A sample of 16 bits keeps its high byte; grey of 1, 2 and 4 bits is scaled
   by 255, 85 and 17. A palette index stands for its colour.
2. A transparency key (tRNS of grey and RGB) is compared at the file's own depth,
   all 16 bits of it, and makes alpha 0 or 255. The tRNS of a palette gives alpha
   for each index, 255 where it ends.
3. c = (c * a + 255 * (255 - a) + 127) // 255 for each channel: alpha over white.
4. grey = (19595 R + 38470 G + 7471 B + 32768) >> 16, which is the value itself
   for grey files. Gamma, profiles and all other ancillary chunks are ignored.

Which files are refused, and why, is said in `chunks.py`.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chunks import (
    GREY,
    GREY_ALPHA,
    MAX_FILE,
    PALETTE,
    RGB,
    RGB_ALPHA,
    Checked,
    ImageError,
    check,
)

__all__ = ["ImageError", "read_grey"]

Pixels = NDArray[np.uint8]

# What Pillow calls each colour type and depth; as indices, few bits stay unscaled.
_MODES = {
    (GREY, 16): ("I;16", "I;16B"),
    (RGB, 8): ("RGB", "RGB"),
    (RGB, 16): ("RGB", "RGB;16B"),
    (GREY_ALPHA, 8): ("LA", "LA"),
    (GREY_ALPHA, 16): ("RGBA", "LA;16B"),
    (RGB_ALPHA, 8): ("RGBA", "RGBA"),
    (RGB_ALPHA, 16): ("RGBA", "RGBA;16B"),
    **{(colour, 8): ("P", "P") for colour in (GREY, PALETTE)},
    **{(colour, bits): ("P", f"P;{bits}") for colour in (GREY, PALETTE) for bits in (1, 2, 4)},
}
_BLOCK = 2**20  # pixels blended at a time, so that large images need little memory


def read_grey(path: str | Path) -> Pixels:
    """Return the pixels of the PNG file at `path` as grey, shape (H, W).

    Raises:
        ImageError: If the file cannot be read, is not a sound PNG, or exceeds a limit.
    """
    try:
        return _grey(check(_read(path)))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    except OSError as error:
        raise ImageError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _read(path: str | Path) -> bytes:
    """Return the bytes of a file, at most one more than it may have."""
    with open(path, "rb") as file:
        data = file.read(2**16)  # asking for all that is allowed would also allocate it
        if len(data) == 2**16:
            data += file.read(MAX_FILE + 1 - len(data))
    return data


def _grey(png: Checked) -> Pixels:
    """Apply the decode rule to checked pixel data; shape (H, W)."""
    samples = _samples(png)
    if samples.ndim == 2 and samples.dtype == np.uint8:
        if png.palette is not None and samples.max() >= len(png.palette) // 3:
            raise ImageError(f"palette index {samples.max()} is beyond PLTE")
        looked_up: Pixels = _table(png)[samples]
        return looked_up
    if samples.ndim == 2:
        grey = (samples >> 8).astype(np.uint8)
    else:
        grey = np.empty(samples.shape[:2], np.uint8)
        step = max(1, _BLOCK // png.header.width)
        for top in range(0, png.header.height, step):
            grey[top : top + step] = _flatten(samples[top : top + step])
    if png.transparency is not None:
        grey[_keyed(png, samples)] = 255
    return grey


def _samples(png: Checked, rawmode: str = "") -> NDArray[Any]:
    """Let Pillow's PNG decoder undo filters, passes and packing.

    Args:
        png: Checked pixel data.
        rawmode: How Pillow shall take a pixel apart, if not in the usual way.

    Returns:
        (H, W) raw samples for grey and palettes, uint16 for grey of 16 bits;
        (H, W, channels) uint8, the high bytes, for all others.
    """
    header = png.header
    mode, usual = _MODES[header.colour, header.depth]
    size = (header.width, header.height)
    # Stored, not compressed: the stream is ours and cannot be read in two ways.
    stream = zlib.compress(png.rows, 0)
    return np.asarray(
        Image.frombytes(mode, size, stream, "zip", rawmode or usual, header.interlaced)
    )


def _table(png: Checked) -> Pixels:
    """Return the grey value of each sample of a grey or palette file, shape (256,)."""
    table = np.full(256, 255, np.uint8)
    if png.palette is None:
        values = np.arange(2**png.header.depth) * (255 // (2**png.header.depth - 1))
        table[: len(values)] = values
        if png.transparency is not None:
            # The specification: only the low bits count, the others are to be ignored.
            table[int.from_bytes(png.transparency, "big") % len(values)] = 255
        return table
    colours = np.frombuffer(png.palette, np.uint8).reshape(-1, 3)
    alpha = np.full((len(colours), 1), 255, np.uint8)
    transparency = np.frombuffer(png.transparency or b"", np.uint8)
    alpha[: len(transparency), 0] = transparency
    table[: len(colours)] = _flatten(np.concatenate([colours, alpha], axis=1))
    return table


def _keyed(png: Checked, samples: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels have exactly the colour of the key in tRNS, shape (H, W)."""
    key = np.frombuffer(png.transparency or b"", ">u2")
    keyed: NDArray[np.bool_]
    if png.header.colour == GREY:
        keyed = samples == key[0]
    elif png.header.depth == 8:
        keyed = (samples == (key & 255)).all(axis=2)
    else:
        # Pillow keeps 8 of 16 bits; read the other way round, it keeps the other 8.
        low = _samples(png, "RGB;16L")
        keyed = ((samples == key >> 8) & (low == key & 255)).all(axis=2)
    return keyed


def _flatten(samples: Pixels) -> Pixels:
    """Lay (..., channels) over white and return its luma, shape (...,)."""
    channels = samples.shape[-1]
    colours = samples[..., : channels - (channels in (2, 4))].astype(np.uint32)
    if channels in (2, 4):
        alpha = samples[..., -1:].astype(np.uint32)
        colours = (colours * alpha + 255 * (255 - alpha) + 127) // 255
    red, green, blue = colours[..., 0], colours[..., -2 % colours.shape[-1]], colours[..., -1]
    grey: Pixels = ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16).astype(np.uint8)
    return grey

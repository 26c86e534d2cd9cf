"""PNG files to pixels: the one thing that the graph leaves to a runner.

The decode rule, the same in Python and C++ (`images.cpp` refers to this text):

1. A sample of 16 bits keeps its high byte; grey of 1, 2 and 4 bits is scaled
   by 255, 85 and 17. A palette index stands for its colour.
2. A transparency key (tRNS of grey and RGB) is compared at the file's own depth,
   all 16 bits of it, and makes alpha 0 or 255. The tRNS of a palette gives alpha
   for each index, 255 where it ends.
3. c = (c * a + 255 * (255 - a) + 127) // 255 for each channel: alpha over white.
4. Of three channels these are the pixels; a grey value is each of them.
   Of one: grey = (19595 R + 38470 G + 7471 B + 32768) >> 16, which is the value
   itself for grey files. Gamma, profiles and all other ancillary chunks are ignored.

Which files are refused, and why, is said in `chunks.py`.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chunks import END, GREY, MAX_FILE, PALETTE, Checked, Header, ImageError, check
from runtime import Array
from samples import samples

__all__ = ["ImageError", "decode", "read"]

_SMALL = 2**16  # bytes, within which most files are read in one go
_BLOCK = 2**20  # pixels blended at a time, so that large images need little memory


def read(path: str | Path) -> Checked:
    """Return the PNG file at `path`, every byte of it judged, its pixels not yet decoded.

    Raises:
        ImageError: If the file cannot be read, is not a sound PNG, or exceeds a limit.
    """
    try:
        png = check(_bytes(path))
        if png.header.colour == PALETTE:
            _check_indices(png)
        return png
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from None
    except OSError as error:
        raise ImageError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def _bytes(path: str | Path) -> bytes:
    """Return the bytes of a file, at most one more than it may have."""
    file = os.open(path, os.O_RDONLY)
    try:
        # Asking for all that is allowed would also allocate it.
        pieces = [os.read(file, _SMALL)]
        if len(pieces[0]) < _SMALL and pieces[0].endswith(END):
            return pieces[0]  # nothing can follow that matters
        left = MAX_FILE + 1 - len(pieces[0])
        while piece := os.read(file, min(2**20, left)):
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)
    finally:
        os.close(file)


def _check_indices(png: Checked) -> None:
    """Refuse an index beyond PLTE."""
    colours = len(png.palette or b"") // 3
    if colours == 2**png.header.depth:
        return
    largest = samples([png]).max()
    if largest >= colours:
        raise ImageError(f"palette index {largest} is beyond PLTE")


def kind(png: Checked) -> tuple[Header, bytes | None, bytes | None]:
    """Return what must be equal in files that are decoded together."""
    return png.header, png.palette, png.transparency


def decode(pngs: Sequence[Checked], channels: int) -> Array:
    """Apply the decode rule to N files of one kind; (N, channels, H, W) uint8.

    Args:
        pngs: From `read`, all with the same `kind`.
        channels: 1 for grey, 3 for red, green and blue.
    """
    png, found = pngs[0], samples(pngs)
    keyed = png.transparency is not None and png.palette is None
    if found.dtype != np.uint8:
        pixels = (found >> 8).astype(np.uint8)[..., None]
    elif found.ndim == 4:
        pixels = _over_white(found, channels)
    elif keyed or png.palette is not None or png.header.depth != 8:
        pixels, keyed = _table(png, channels)[found], False  # the table knows the key
    else:
        pixels = found[..., None]
    if keyed:
        pixels[_keyed(pngs, found)] = 255
    if pixels.shape[3] != channels:
        pixels = pixels.repeat(channels, axis=3)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _table(png: Checked, channels: int) -> Array:
    """Return the pixel that each sample of a grey or palette file stands for.

    Returns:
        (256, 1) for grey, (256, channels) for palettes.
    """
    if png.palette is None:
        table = np.full((256, 1), 255, np.uint8)
        values = np.arange(2**png.header.depth) * (255 // (2**png.header.depth - 1))
        table[: len(values), 0] = values
        if png.transparency is not None:
            # The specification: only the low bits count, the others are to be ignored.
            table[int.from_bytes(png.transparency, "big") % len(values)] = 255
        return table
    table = np.full((256, channels), 255, np.uint8)
    colours = np.frombuffer(png.palette, np.uint8).reshape(-1, 3)
    alpha = np.full((len(colours), 1), 255, np.uint8)
    transparency = np.frombuffer(png.transparency or b"", np.uint8)
    alpha[: len(transparency), 0] = transparency
    table[: len(colours)] = _over_white(np.concatenate([colours, alpha], axis=1), channels)
    return table


def _keyed(pngs: Sequence[Checked], found: Array) -> Array:
    """Return which pixels have exactly the colour of the key in tRNS, (N, H, W) of bool."""
    key = np.frombuffer(pngs[0].transparency or b"", ">u2")
    keyed: Array
    if pngs[0].header.colour == GREY:
        keyed = found == key[0]
    elif pngs[0].header.depth == 8:
        keyed = (found == (key & 255)).all(axis=3)
    else:
        low = samples(pngs, low=True)
        keyed = ((found == key >> 8) & (low == key & 255)).all(axis=3)
    return keyed


def _over_white(found: Array, channels: int) -> Array:
    """Lay samples (..., 2 to 4) over white; (..., 1) as grey, (..., 3) or (..., 1) as colours."""
    flat = found.reshape(-1, found.shape[-1])
    out = np.empty((len(flat), 1 if found.shape[-1] < 3 else channels), np.uint8)
    for start in range(0, len(flat), _BLOCK):
        part = flat[start : start + _BLOCK]
        colours = part[:, : part.shape[1] - (part.shape[1] != 3)].astype(np.uint32)
        if part.shape[1] != 3:
            alpha = part[:, -1:].astype(np.uint32)
            colours = (colours * alpha + 255 * (255 - alpha) + 127) // 255
        if colours.shape[1] == 3 and channels == 1:
            red, green, blue = colours.T
            colours = ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16)[:, None]
        out[start : start + _BLOCK] = colours
    return out.reshape(*found.shape[:-1], -1)

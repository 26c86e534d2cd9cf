"""The filtered rows of PNG files to samples: filters, passes and packing undone.

Few and small files are undone here, where importing Pillow would take longer than all the
rest; Pillow undoes many at once, and whatever has passes or packed samples.
"""

import zlib
from collections.abc import Sequence

import numpy as np

from chunks import CHANNELS, GREY, GREY_ALPHA, PALETTE, RGB, RGB_ALPHA, Checked
from runtime import Array

# What Pillow calls each colour type and depth; as indices, few bits stay unscaled.
_MODES = {
    (GREY, 16): ("I;16", "I;16B"),
    (RGB, 8): ("RGB", "RGB"),
    (RGB, 16): ("RGB", "RGB;16B"),
    (GREY_ALPHA, 8): ("LA", "LA"),
    (GREY_ALPHA, 16): ("RGBA", "LA;16B"),
    (RGB_ALPHA, 8): ("RGBA", "RGBA"),
    (RGB_ALPHA, 16): ("RGBA", "RGBA;16B"),
    **{(colour, 8): ("L", "L") for colour in (GREY, PALETTE)},
    **{(colour, bits): ("P", f"P;{bits}") for colour in (GREY, PALETTE) for bits in (1, 2, 4)},
}
_LOOPED = 2**13  # bytes behind filters 3 and 4 that a loop of Python may undo: milliseconds


def samples(pngs: Sequence[Checked], low: bool = False) -> Array:
    """Return the samples of N files with one header.

    Args:
        pngs: Checked pixel data.
        low: Of RGB of 16 bits return the low bytes.

    Returns:
        (N, H, W) raw samples for grey and palettes, uint16 for grey of 16 bits;
        (N, H, W, channels) uint8, the high bytes, for all others.
    """
    header = pngs[0].header
    if len(pngs) == 1 and header.depth == 8 and not header.interlaced:
        found = _looped(pngs[0])
        if found is not None:
            return found
    return _by_pillow(pngs, low)


def _looped(png: Checked) -> Array | None:
    """Undo the filters of one file with 8 bits a sample; None if that would take long."""
    header = png.header
    step = CHANNELS[header.colour]
    lines = np.frombuffer(png.rows, np.uint8).reshape(header.height, -1)
    kinds = lines[:, 0].tolist()
    if sum([kind > 2 for kind in kinds]) * header.width * step > _LOOPED:
        return None
    out = lines[:, 1:].copy()
    above = np.zeros_like(out[0])
    for kind, row in zip(kinds, out, strict=True):
        if kind == 1:
            pixels = row.reshape(-1, step)
            np.add.accumulate(pixels, axis=0, dtype=np.uint8, out=pixels)
        elif kind == 2:
            row += above
        elif kind > 2:
            undo = _average if kind == 3 else _paeth
            row[:] = np.frombuffer(undo(bytearray(row), above.tobytes(), step), np.uint8)
        above = row
    shape = (1, header.height, header.width)
    return out.reshape(shape if step == 1 else (*shape, step))


def _average(row: bytearray, above: bytes, step: int) -> bytearray:
    """Undo filter 3: add the mean, rounded down, of the samples to the left and above."""
    for at in range(len(row)):
        left = row[at - step] if at >= step else 0
        row[at] = (row[at] + (left + above[at]) // 2) & 255
    return row


def _paeth(row: bytearray, above: bytes, step: int) -> bytearray:
    """Undo filter 4: add the nearest to left + above - corner, in that order where they tie."""
    for at in range(len(row)):
        left, corner = (row[at - step], above[at - step]) if at >= step else (0, 0)
        to_left, to_above = abs(above[at] - corner), abs(left - corner)
        to_corner = abs(left + above[at] - 2 * corner)
        if to_left <= to_above and to_left <= to_corner:
            nearest = left
        else:
            nearest = above[at] if to_above <= to_corner else corner
        row[at] = (row[at] + nearest) & 255
    return row


def _by_pillow(pngs: Sequence[Checked], low: bool) -> Array:
    """Let Pillow's PNG decoder undo filters, passes and packing, of many files as one tall one."""
    from PIL import Image

    header = pngs[0].header
    mode, raw = _MODES[header.colour, header.depth]
    if low:
        raw = "RGB;16L"  # Pillow keeps 8 of 16 bits; read the other way round, the other 8
    size, data = (header.width, header.height), pngs[0].rows
    if len(pngs) > 1:
        if header.interlaced:
            return np.concatenate([_by_pillow([png], low) for png in pngs])
        # A line of zeros behind each file: the first line of the next has nothing above it.
        line = bytes(len(pngs[0].rows) // header.height)
        data = line.join([*[png.rows for png in pngs], b""])
        size = (header.width, (header.height + 1) * len(pngs))
    # Stored, not compressed: the stream is ours and cannot be read in two ways.
    stream = zlib.compress(data, 0)
    found = np.asarray(Image.frombytes(mode, size, stream, "zip", raw, header.interlaced))
    return found.reshape(len(pngs), -1, *found.shape[1:])[:, : header.height]

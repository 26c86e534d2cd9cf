"""A PNG file made from a table of samples, and the grey values that a program must see in it.

Shares no line with the decoders that ship, so that it can judge them: the file is written
after the specification (third edition, https://www.w3.org/TR/png-3/), and the decode rule
of `runners/images.py` is worked out on the samples, not on the file.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchcrate.model.samples import Pixels

Samples = NDArray[np.int64]
Bytes = NDArray[np.uint8]

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
_NAMES = {GREY: "grey", RGB: "rgb", PALETTE: "palette", GREY_ALPHA: "grey-alpha", RGB_ALPHA: "rgba"}
# Adam7, a digit each: first row, first column, step between rows, step between columns.
_ADAM7 = ("0088", "0488", "4084", "0244", "2042", "0122", "1021")
_IN_ORDER = ("0011",)


@dataclass(frozen=True)
class Png:
    """What a PNG file stores.

    Attributes:
        samples: (H, W, channels), each of `depth` bits, with H and W at least 5, so that
            no pass of Adam7 is empty.
        colour: The colour type: GREY, RGB, PALETTE, GREY_ALPHA or RGB_ALPHA.
        depth: Bits a sample.
        interlaced: Whether the file holds the seven passes of Adam7.
        palette: (n, 3) colours in [0, 255]; None but for PALETTE.
        clear: The chunk tRNS: for PALETTE the alpha of the first entries, in [0, 255]; for
            GREY and RGB the key, a sample of `depth` bits a channel. None without one.
    """

    samples: Samples
    colour: int
    depth: int
    interlaced: bool
    palette: Samples | None = None
    clear: Samples | None = None

    @property
    def name(self) -> str:
        """A name for the file: its kind and depth, `-clear` with tRNS, `-adam7` if interlaced."""
        clear = "" if self.clear is None else "-clear"
        passes = "-adam7" if self.interlaced else ""
        return f"{_NAMES[self.colour]}{self.depth}{clear}{passes}.png"

    def grey(self) -> Pixels:
        """Return what the decode rule makes of the samples, (1, 1, H, W) uint8."""
        red, green, blue = self._over_white()
        luma: Samples = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16
        return luma.astype(np.uint8)[None, None]

    def rgb(self) -> Pixels:
        """Return the colours that the decode rule makes of the samples, (1, 3, H, W) uint8."""
        return np.ascontiguousarray(self._over_white(), np.uint8)[None]

    def resized(self, height: int, width: int) -> "Png":
        """Return the same kind of picture with the nearest samples, of another size."""
        rows, columns = self.samples.shape[:2]
        down = np.arange(height) * rows // height
        right = np.arange(width) * columns // width
        return replace(self, samples=self.samples[down][:, right])

    def _over_white(self) -> Samples:
        """Return red, green and blue, (3, H, W) in [0, 255]."""
        colours, alpha = self._eight_bits()
        over_white = (colours * alpha + 255 * (255 - alpha) + 127) // 255
        return np.broadcast_to(over_white, (*colours.shape[:2], 3)).transpose(2, 0, 1)

    def _eight_bits(self) -> tuple[Samples, Samples]:
        """Return colours, (H, W, 1 or 3), and alpha, (H, W, 1), all in [0, 255]."""
        opaque = np.full((*self.samples.shape[:2], 1), 255)
        if self.palette is not None:
            beyond = np.full(len(self.palette), 255)  # as long as it may have to be
            alpha = np.concatenate([beyond[:0] if self.clear is None else self.clear, beyond])
            return self.palette[self.samples[..., 0]], alpha[self.samples]
        eight = self.samples >> 8 if self.depth == 16 else self.samples * 255 // (2**self.depth - 1)
        if self.colour in (GREY_ALPHA, RGB_ALPHA):
            return eight[..., :-1], eight[..., -1:]
        if self.clear is None:
            return eight, opaque
        return eight, np.where((self.samples == self.clear).all(2, keepdims=True), 0, opaque)

    def encode(self) -> bytes:
        """Return the file; it states a gamma, which is to be ignored, and has its data in two."""
        height, width, _ = self.samples.shape
        kind = (width, height, self.depth, self.colour, 0, 0, self.interlaced)
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", *kind)), (b"gAMA", struct.pack(">I", 100_000))]
        if self.palette is not None:
            chunks.append((b"PLTE", self.palette.astype(np.uint8).tobytes()))
        if self.clear is not None:
            stored: Any = np.uint8 if self.colour == PALETTE else ">u2"
            chunks.append((b"tRNS", self.clear.astype(stored).tobytes()))
        data = zlib.compress(b"".join(self._lines()))
        half = len(data) // 2
        chunks += [(b"IDAT", data[:half]), (b"IDAT", data[half:]), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)

    def _lines(self) -> Iterator[bytes]:
        """Yield the rows of each pass behind their filters, all five of which take turns."""
        unit = max(1, self.samples.shape[2] * self.depth // 8)
        for way in _ADAM7 if self.interlaced else _IN_ORDER:
            row, column, down, right = map(int, way)
            rows = _packed(self.samples[row::down, column::right], self.depth)
            above = np.zeros_like(rows[0])
            for number, line in enumerate(rows):
                yield bytes([number % 5]) + _filtered(number % 5, line, above, unit)
                above = line


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _packed(samples: Samples, depth: int) -> Bytes:
    """Return rows (H, W, channels) as the bytes of a file, (H, n), the last one filled with 0."""
    bits = (samples.reshape(len(samples), -1, 1) >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.reshape(len(samples), -1).astype(np.uint8), axis=1)


def _filtered(way: int, line: Bytes, above: Bytes, unit: int) -> bytes:
    """Return a row through filter `way`: none, sub, up, average or Paeth."""
    nothing = np.zeros(unit, np.int64)
    left, corner = (np.concatenate([nothing, row])[: len(line)] for row in (line, above))
    up = above.astype(np.int64)
    away = np.abs([up - corner, left - corner, left + up - 2 * corner])
    paeth = np.choose(away.argmin(0), [left, up, corner])
    guess = (np.zeros_like(up), left, up, (left + up) // 2, paeth)[way]
    return (line - guess).astype(np.uint8).tobytes()

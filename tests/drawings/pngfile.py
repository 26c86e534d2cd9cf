"""Every kind of PNG, written by hand: Pillow cannot write most of them.

After the PNG specification (third edition, https://www.w3.org/TR/png-3/).
"""

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.uint16]

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
ADAM7 = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)


@dataclass(frozen=True)
class Png:
    """A picture as its file will hold it.

    Attributes:
        samples: (H, W, channels) at the file's own depth.
        depth: Bits per sample.
        colour: The colour type: GREY, RGB, PALETTE, GREY_ALPHA or RGBA.
        palette: (n, 3) uint8, only for PALETTE.
        transparency: The tRNS chunk: alpha of the first palette entries, or the key
            as 16-bit samples; empty for none.
    """

    samples: Samples
    depth: int
    colour: int
    palette: NDArray[np.uint8] | None = None
    transparency: bytes = b""

    def encode(self, interlaced: bool = False) -> bytes:
        """Return the file."""
        height, width, _ = self.samples.shape
        header = struct.pack(">IIBBBBB", width, height, self.depth, self.colour, 0, 0, interlaced)
        lines = b"".join(self._lines(part) for part in self._passes(interlaced) if part.size)
        chunks = [(b"IHDR", header)]
        if self.palette is not None:
            chunks.append((b"PLTE", self.palette.tobytes()))
        if self.transparency:
            chunks.append((b"tRNS", self.transparency))
        chunks += [(b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
        return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, body) for name, body in chunks)

    def _passes(self, interlaced: bool) -> list[Samples]:
        if not interlaced:
            return [self.samples]
        return [self.samples[y::down, x::right] for y, x, down, right in ADAM7]

    def _lines(self, part: Samples) -> bytes:
        """Return the rows of a pass, packed, each behind the filter that suits it best."""
        rows = [_pack(row, self.depth) for row in part]
        unit = max(1, part.shape[2] * self.depth // 8)
        lines, above = [], np.zeros_like(rows[0])
        for row in rows:
            tries = (
                _filtered(row, above, unit) if self.depth >= 8 and self.colour != PALETTE else [row]
            )
            costs = [np.abs(line.view(np.int8).astype(int)).sum() for line in tries]
            best = int(np.argmin(costs))
            lines.append(bytes([best]) + tries[best].tobytes())
            above = row
        return b"".join(lines)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _pack(row: Samples, depth: int) -> NDArray[np.uint8]:
    """Return a row of samples (W, channels) as the bytes of a file, the last one filled with 0."""
    flat = row.ravel()
    if depth == 16:
        return flat.astype(">u2").view(np.uint8)
    if depth == 8:
        return flat.astype(np.uint8)
    bits = (flat[:, None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.astype(np.uint8).ravel())


def _filtered(
    row: NDArray[np.uint8], above: NDArray[np.uint8], unit: int
) -> list[NDArray[np.uint8]]:
    """Return `row` through filters 0 to 4: none, sub, up, average, Paeth."""
    left = np.concatenate([np.zeros(unit, np.uint8), row[:-unit]])
    corner = np.concatenate([np.zeros(unit, np.uint8), above[:-unit]])
    a, b, c = (line.astype(int) for line in (left, above, corner))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    paeth = np.where((to_a <= to_b) & (to_a <= to_c), a, np.where(to_b <= to_c, b, c))
    guesses = [np.zeros_like(a), a, b, (a + b) // 2, paeth]
    return [(row - guess).astype(np.uint8) for guess in guesses]

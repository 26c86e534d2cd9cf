"""What writes: pens of different width, pressure and grain put strokes on a canvas."""

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Coverage = NDArray[np.uint8]


@dataclass(frozen=True)
class Pen:
    """A kind of pen; widths are shares of the digit's height.

    Attributes:
        thin, thick: Bounds of the line's width; never under one pixel on the canvas.
        pressure: How much the width swells and shrinks on the way, 0 to 1.
        nib: How much thinner a line along the nib's edge is, 0 to 1.
        taper: How much thinner the ends are, 0 to 1.
        grain: Share of the ink that the paper's tooth keeps off.
    """

    thin: float
    thick: float
    pressure: float = 0.0
    nib: float = 0.0
    taper: float = 0.0
    grain: float = 0.0


PENS = {
    "pencil": Pen(0.004, 0.012, pressure=0.1, grain=0.9),
    "ball": Pen(0.025, 0.055, pressure=0.15, taper=0.1),
    "felt": Pen(0.06, 0.1, pressure=0.08),
    "marker": Pen(0.11, 0.16),
    "brush": Pen(0.07, 0.15, pressure=0.25, nib=0.45, taper=0.55),
    "chalk": Pen(0.06, 0.12, pressure=0.12, grain=0.45),
}


def ink(
    strokes: list[Points], shape: tuple[int, int], pen: Pen, width: float, hard: bool, rng: Random
) -> Coverage:
    """Return how much of each pixel is inked, (H, W) uint8, 255 all.

    Args:
        strokes: Ways of the pen in pixels, each (n, 2) as x, y; pixel centres at .5.
        shape: Height and width of the canvas.
        pen: What writes.
        width: Of the line, in pixels.
        hard: True for a pixel that is inked or not, without shades between.
        rng: Where chance comes from.
    """
    covered = np.zeros(shape)
    nib = rng.uniform(0.5, 1.1)
    for stroke in strokes:
        way = evenly(stroke, max(0.75, width / 5))
        for start, end, radius in zip(
            way[:-1], way[1:], radii(way, pen, width, nib, rng), strict=True
        ):
            _line(covered, start, end, radius)
    if pen.grain:
        grain = pen.grain * min(
            1.0, width / 8
        )  # a fine line falls apart where a broad one is rough
        tooth = noise(shape, max(1.0, width / 7), rng)
        covered *= ((tooth - grain * 0.8) * 6 + 1).clip(max(0.0, 1 - grain * 2), 1)
    if hard:
        covered = (covered >= 0.5).astype(np.float64)
    return (covered * 255 + 0.5).astype(np.uint8)


def evenly(stroke: Points, step: float) -> Points:
    """Return `stroke` with points about `step` apart, ends kept."""
    gaps = np.hypot(*np.diff(stroke, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(gaps)])
    count = max(2, math.ceil(along[-1] / step) + 1)
    places = np.linspace(0, along[-1], count)
    return np.stack([np.interp(places, along, stroke[:, axis]) for axis in (0, 1)], 1)


def radii(way: Points, pen: Pen, width: float, nib: float, rng: Random) -> Points:
    """Return half the line's width at each of the n - 1 pieces of `way` (n, 2), in pixels.

    A hand slows down in curves: the line swells there, and thins where it runs straight.
    """
    steps = np.diff(way, axis=0)
    heading = np.unwrap(np.arctan2(steps[:, 1], steps[:, 0]))
    along = np.linspace(0, 1, len(steps))
    turning = np.abs(np.gradient(heading)) if len(steps) > 1 else np.zeros(1)
    slow = np.tanh(2 * np.convolve(turning, np.ones(9) / 9, "same")[: len(steps)])
    swell = np.sin(math.tau * (along * rng.uniform(0.6, 1.6) + rng.random()))
    radius: Points = 1 + pen.pressure * (0.6 * swell + 1.2 * slow - 0.3)
    radius *= 1 - pen.nib * (1 - np.abs(np.sin(heading + nib)))
    radius *= 1 - pen.taper * (1 - np.minimum(along * 5, (1 - along) * 4).clip(0.0, 1.0))
    radius *= width / 2
    return np.maximum(radius, 0.5)


def noise(shape: tuple[int, int], cell: float, rng: Random) -> NDArray[np.float64]:
    """Return smooth noise in [0, 1], its spots about `cell` pixels wide, shape (H, W)."""
    rows, columns = (np.arange(side) / cell for side in shape)
    high, wide = int(rows[-1]) + 2, int(columns[-1]) + 2
    grid = np.frombuffer(rng.randbytes(high * wide), np.uint8).reshape(high, wide) / 255
    i, j = rows.astype(int), columns.astype(int)
    down, right = (rows - i)[:, None], (columns - j)[None, :]
    upper = grid[i][:, j] * (1 - right) + grid[i][:, j + 1] * right
    lower = grid[i + 1][:, j] * (1 - right) + grid[i + 1][:, j + 1] * right
    mixed: NDArray[np.float64] = upper * (1 - down) + lower * down
    return mixed


def _line(covered: NDArray[np.float64], start: Points, end: Points, radius: float) -> None:
    """Cover a round-ended line from `start` to `end`, antialiased over one pixel."""
    height, width = covered.shape
    left, top = np.floor(np.minimum(start, end) - radius - 1).astype(int).clip(min=0)
    right, bottom = np.ceil(np.maximum(start, end) + radius + 1).astype(int)
    right, bottom = min(right, width), min(bottom, height)
    if left >= right or top >= bottom:
        return
    x = np.arange(left, right)[None, :] + 0.5 - start[0]
    y = np.arange(top, bottom)[:, None] + 0.5 - start[1]
    dx, dy = end - start
    share = ((x * dx + y * dy) / max(dx * dx + dy * dy, 1e-12)).clip(0, 1)
    distance = np.sqrt((x - share * dx) ** 2 + (y - share * dy) ** 2)
    part = covered[top:bottom, left:right]
    np.maximum(part, (radius + 0.5 - distance).clip(0, 1), out=part)

"""How hands write the ten digits: every style as strokes, and the hand that bends them.

A style is text: points "x,y" in percent of the digit's height, y downward, joined by
a smooth curve; "|" makes a sharp corner of the point before it; "/" lifts the pen.
"""

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

STYLES: dict[str, dict[str, str]] = {
    "0": {
        "round": "34,1 10,12 2,50 12,88 34,99 56,86 64,50 55,12 32,2",
        "slim": "24,1 9,12 2,50 9,88 23,99 38,86 44,50 38,13 21,3",
        "leaning": "48,6 32,1 10,24 2,62 12,94 30,98 50,74 57,36 50,9 41,3",
        "overshot": "30,6 8,22 2,58 14,92 36,98 56,78 60,40 46,6 26,2 18,9",
        "wide": "42,3 14,14 2,50 14,86 42,98 70,86 82,50 68,14 38,4",
    },
    "1": {
        "stick": "4,0 3,50 2,100",
        "flag": "0,25 10,15 17,0 | 17,50 16,100",
        "foot": "2,24 24,0 | 24,100 / 2,100 46,99",
        "long flag": "0,36 14,20 25,0 | 25,50 24,100",
        "bent": "6,0 2,48 5,100",
    },
    "2": {
        "plain": "2,24 12,5 34,1 53,18 46,44 22,74 0,97 | 30,96 62,97",
        "loop": "2,22 16,4 42,3 54,22 42,52 22,80 6,97 1,88 14,80 36,92 64,95",
        "corner": "3,14 28,1 52,14 44,42 2,97 | 58,96",
        "swan": "8,28 8,10 26,1 46,12 45,36 24,68 2,95 16,90 34,96 56,99 66,92",
        "wide": "0,26 18,4 50,4 66,24 52,52 4,98 | 40,96 76,98",
    },
    "3": {
        "round": "4,14 24,1 47,10 46,34 22,46 | 46,52 58,72 46,95 20,100 0,86",
        "flat top": "4,3 54,2 | 24,39 | 46,43 58,66 48,92 22,100 0,90",
        "looped": "2,14 22,1 46,8 48,30 26,45 16,48 27,48 50,56 56,78 40,98 14,99 0,88",
        "soft": "6,8 28,1 44,16 34,40 20,46 40,52 50,74 36,97 12,99 0,92",
        "deep": "0,18 24,1 50,14 44,38 20,48 | 50,56 62,78 40,100 10,96 0,80",
    },
    "4": {
        "open": "10,0 7,30 2,60 | 30,59 62,57 / 44,24 42,60 40,100",
        "closed": "46,100 45,50 44,0 | 24,34 0,67 | 64,66",
        "two strokes": "38,0 20,36 0,66 | 62,64 / 44,32 43,66 42,100",
        "cup": "6,2 3,30 10,52 30,54 52,44 / 56,2 52,50 46,100",
        "tall": "24,0 12,34 1,68 | 48,67 / 34,40 33,70 32,100",
    },
    "5": {
        "two strokes": "10,3 5,44 | 24,38 48,46 57,68 44,94 20,100 0,89 / 10,3 54,0",
        "one stroke": "54,2 10,4 | 6,45 | 28,38 52,50 56,74 38,98 14,99 0,90",
        "snake": "54,2 32,3 13,6 9,40 | 30,39 52,56 54,82 32,99 2,93",
        "low belly": "12,4 8,50 | 36,42 56,64 44,93 12,100 0,94 / 12,4 58,2",
        "sharp": "52,0 8,2 | 2,46 | 34,42 52,62 46,88 24,100 2,94",
    },
    "6": {
        "curl": "46,2 22,20 4,56 6,86 28,100 50,88 52,68 34,55 14,62 5,76",
        "straight": "42,0 22,28 6,62 5,88 26,100 50,90 54,70 36,57 10,68",
        "hook": "52,13 40,1 18,14 3,54 10,92 32,100 54,84 48,60 26,55 6,72",
        "slim": "30,0 8,34 2,70 10,96 28,98 40,80 34,62 18,60 5,74",
        "round": "54,4 28,12 6,44 4,76 22,98 48,96 60,76 48,56 24,54 6,68",
    },
    "7": {
        "plain": "0,4 28,5 58,3 | 38,40 26,70 20,100",
        "bar": "0,4 30,5 58,2 | 36,48 22,100 / 12,51 52,47",
        "hooked": "1,18 3,4 | 30,5 58,3 | 34,48 22,100",
        "wave": "0,10 14,2 36,8 56,2 | 38,36 28,68 24,100",
        "steep": "0,5 50,3 | 36,52 30,100",
        "hooked bar": "1,17 3,4 | 58,2 | 36,48 26,100 / 16,50 54,46",
    },
    "8": {
        "crossed": "48,12 28,1 8,12 12,33 30,46 52,62 54,88 30,100 6,89 8,66 26,50 45,34 50,9",
        "two rings": "30,2 9,9 9,36 30,46 51,36 51,9 28,2 / 30,46 4,64 5,94 56,94 58,64 28,46",
        "slim": "34,8 20,1 7,13 11,35 22,47 38,66 37,92 20,100 5,89 9,66 23,48 35,30 36,10 28,3",
        "open top": "52,6 28,2 9,14 14,34 34,48 52,66 46,94 22,99 5,84 14,62 34,46 48,28 57,8",
        "heavy belly": "42,8 28,1 13,11 17,32 32,43 58,60 60,90 32,100 3,90 5,62 28,44 43,30 40,6",
    },
    "9": {
        "curly": "50,14 32,1 8,10 3,32 16,47 38,42 50,18 | 53,56 44,92 22,100 4,91",
        "straight": "48,10 28,1 6,12 4,34 20,46 40,38 49,10 | 48,55 46,100",
        "leaning": "50,12 34,1 10,12 4,34 18,46 38,38 50,12 | 42,56 28,100",
        "loop": "46,8 24,2 4,18 8,42 28,46 46,30 50,8 52,30 50,66 40,100",
        "round": "54,22 40,3 16,3 2,22 8,44 30,50 50,38 54,20 54,56 40,90 14,100",
    },
}


@dataclass(frozen=True)
class Hand:
    """One writer on one day; lengths are shares of the digit's height.

    Attributes:
        stretch: Width against the style's own.
        slant: Shear to the right, as a tangent.
        turn: Rotation in radians.
        slip: How far each point of a style misses its place.
        wobble: How far the line trembles around its way.
    """

    stretch: float
    slant: float
    turn: float
    slip: float
    wobble: float

    @classmethod
    def draw(cls, rng: Random) -> "Hand":
        """Return a hand like most hands: leaning a little to the right, mostly steady."""
        return cls(
            stretch=rng.uniform(0.85, 1.2),
            slant=rng.triangular(-0.15, 0.32, 0.08),
            turn=rng.uniform(-0.08, 0.08),
            slip=rng.uniform(0.006, 0.022),
            wobble=rng.uniform(0.0, 0.009),
        )

    def write(self, style: str, rng: Random) -> list[Points]:
        """Return the strokes of `style`, each (n, 2) as x, y; the digit is about 1 high."""
        return [self._place(self._stroke(text, rng), rng) for text in style.split("/")]

    def _stroke(self, text: str, rng: Random) -> Points:
        legs: list[list[tuple[float, float]]] = [[]]
        for word in text.split():
            if word == "|":
                legs.append([legs[-1][-1]])
                continue
            x, y = (float(number) / 100 for number in word.split(","))
            legs[-1].append((x + rng.gauss(0, self.slip), y + rng.gauss(0, self.slip)))
        return np.concatenate([smooth(np.array(leg), rng) for leg in legs])

    def _place(self, stroke: Points, rng: Random) -> Points:
        along = np.linspace(0, 1, len(stroke))
        x, y = stroke[:, 0] * self.stretch, stroke[:, 1].copy()
        for cycles in (1, 2, 4):
            x += self.wobble / cycles * np.sin(math.tau * (cycles * along + rng.random()))
            y += self.wobble / cycles * np.sin(math.tau * (cycles * along + rng.random()))
        x -= self.slant * y
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return np.stack([cos * x - sin * y, sin * x + cos * y], 1)


def smooth(points: Points, rng: Random, steps: int = 24) -> Points:
    """Return a curve through `points` (n >= 2, 2): a centripetal Catmull-Rom spline.

    A leg of two points is bowed a little, as no hand draws a ruler's line.
    """
    if len(points) == 2:
        (x0, y0), (x1, y1) = points
        bow = rng.gauss(0, 0.02)
        middle = [(x0 + x1) / 2 + bow * (y1 - y0), (y0 + y1) / 2 - bow * (x1 - x0)]
        points = np.array([points[0], middle, points[1]])
    gaps = np.sqrt(np.hypot(*np.diff(points, axis=0).T)).clip(min=1e-6)[:, None]
    slopes = np.diff(points, axis=0) / gaps
    inner = (slopes[:-1] * gaps[1:] + slopes[1:] * gaps[:-1]) / (gaps[:-1] + gaps[1:])
    ends = 1.5 * slopes[[0, -1]] - 0.5 * inner[[0, -1]]
    tangents = np.concatenate([ends[:1], inner, ends[1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = [
        (1 + 2 * t) * (1 - t) ** 2 * points[i]
        + t * (1 - t) ** 2 * gaps[i] * tangents[i]
        + t**2 * (3 - 2 * t) * points[i + 1]
        + t**2 * (t - 1) * gaps[i] * tangents[i + 1]
        for i in range(len(points) - 1)
    ]
    return np.concatenate([*pieces, points[-1:]])

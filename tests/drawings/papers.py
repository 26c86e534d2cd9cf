"""Paper and ink, and the kinds of PNG file that a drawing on them can become."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
import pens
import pngfile
from numpy.typing import NDArray
from pngfile import GREY, GREY_ALPHA, PALETTE, RGB, RGBA, Png

Colour = tuple[int, int, int]
Coverage = NDArray[np.uint8]
Samples = NDArray[np.uint16]


@dataclass(frozen=True)
class Paper:
    """What is written on, and the colour of what writes.

    Attributes:
        paper: Red, green, blue of the sheet.
        ink: Likewise of a full stroke.
        grain: How far the sheet's brightness strays, 0 to 255.
    """

    paper: Colour
    ink: Colour
    grain: int = 0

    @property
    def light(self) -> bool:
        """Whether the sheet is lighter than the ink."""
        return sum(self.paper) > sum(self.ink)


PAPERS = {
    "black on white": Paper((255, 255, 255), (0, 0, 0)),
    "blue on cream": Paper((250, 243, 220), (25, 45, 150), grain=3),
    "red on white": Paper((255, 255, 255), (200, 25, 30)),
    "faint on white": Paper((225, 225, 225), (150, 150, 150), grain=2),
    "black on grey": Paper((150, 152, 155), (20, 20, 25), grain=4),
    "brown on kraft": Paper((196, 164, 120), (60, 30, 20), grain=6),
    "violet on pink": Paper((248, 214, 224), (90, 20, 120)),
    "white on black": Paper((0, 0, 0), (255, 255, 255)),
    "white on green": Paper((28, 78, 56), (240, 244, 238), grain=5),
    "yellow on blue": Paper((16, 24, 84), (250, 226, 60)),
    "grey on dark": Paper((52, 54, 58), (176, 178, 180), grain=3),
    "cyan on black": Paper((10, 10, 14), (80, 220, 235)),
}


@dataclass(frozen=True)
class Sheet:
    """A drawing before it is a file.

    Attributes:
        covered: How much of each pixel is ink, (H, W) uint8.
        paper: Colours of sheet and ink.
        grain: What is added to each pixel's brightness, (H, W), -255 to 255.
    """

    covered: Coverage
    paper: Paper
    grain: NDArray[np.int64]

    @classmethod
    def lay(cls, covered: Coverage, paper: Paper, rng: Random) -> "Sheet":
        """Return the sheet with its grain: fine on a small canvas, cloudy on a large one."""
        cell = 1.0 if covered.size < 30_000 else 5.0
        strays = (pens.noise(covered.shape, cell, rng) * 2 - 1) * paper.grain
        return cls(covered, paper, np.rint(strays).astype(np.int64))

    def pixels(self) -> Samples:
        """Return the opaque picture, (H, W, 3), 0 to 255."""
        mixed = mix(self.paper, self.covered) + self.grain[..., None]
        return mixed.clip(0, 255).astype(np.uint16)

    def grey(self) -> Samples:
        """Return the opaque picture, (H, W, 1), 0 to 255."""
        luma = self.pixels().astype(np.int64) @ (77, 150, 29)
        return (luma >> 8).astype(np.uint16)[..., None]

    def coarse(self, depth: int) -> Samples:
        """Return the picture in 2**depth greys, (H, W, 1): sheet and ink on their own levels."""
        top = 2**depth - 1
        sheet, ink = (
            round(sum(colour) / 765 * top) for colour in (self.paper.paper, self.paper.ink)
        )
        if sheet == ink:
            ink += 1 if ink < top and not self.paper.light else -1
        share = self.covered.astype(np.int64)
        shade: NDArray[np.int64] = (sheet * (255 - share) + ink * share + 127) // 255
        return shade.astype(np.uint16)[..., None]

    def layer(self) -> Samples:
        """Return the ink alone, (H, W, 4): its colour everywhere, coverage as alpha."""
        colour = np.broadcast_to(np.array(self.paper.ink, np.uint16), (*self.covered.shape, 3))
        return np.concatenate([colour, self.covered[..., None]], 2).astype(np.uint16)


def mix(paper: Paper, covered: Coverage) -> NDArray[np.int64]:
    """Return the colours (..., 3) of paper covered with ink as `covered` (...) says."""
    share = covered.astype(np.int64)[..., None]
    paper_part = np.array(paper.paper, np.int64) * (255 - share)
    return (paper_part + np.array(paper.ink, np.int64) * share + 127) // 255


@dataclass(frozen=True)
class Kind:
    """A kind of PNG file.

    Attributes:
        make: Turns a sheet into the file's samples.
        light: True if only dark ink on a light sheet survives it, as where the
            sheet is transparent (seen over white); False if only light on dark is meant.
        hard: Whether it has no room for shades between sheet and ink.
    """

    make: Callable[[Sheet], Png]
    light: bool | None = None
    hard: bool = False


def _fine(samples: Samples, depth: int) -> Samples:
    """Return 8-bit samples at `depth` bits; 16-bit ones get low bytes of their own."""
    return samples if depth == 8 else samples * 256 + (samples * 37 + 11) % 256


def _grey(depth: int) -> Callable[[Sheet], Png]:
    def make(sheet: Sheet) -> Png:
        samples = sheet.coarse(depth) if depth < 8 else _fine(sheet.grey(), depth)
        return Png(samples, depth, GREY)

    return make


def _rgb(depth: int) -> Callable[[Sheet], Png]:
    return lambda sheet: Png(_fine(sheet.pixels(), depth), depth, RGB)


def _keyed(make: Callable[[Sheet], Png]) -> Callable[[Sheet], Png]:
    """Return `make` with the sheet's own colour as transparency key, at the file's depth."""

    def keyed(sheet: Sheet) -> Png:
        png = make(Sheet(sheet.covered, sheet.paper, np.zeros_like(sheet.grain)))
        key = png.samples[np.unravel_index(sheet.covered.argmin(), sheet.covered.shape)]
        return Png(png.samples, png.depth, png.colour, transparency=key.astype(">u2").tobytes())

    return keyed


def _rgba(depth: int) -> Callable[[Sheet], Png]:
    return lambda sheet: Png(_fine(sheet.layer(), depth), depth, RGBA)


def _opaque_rgba(sheet: Sheet) -> Png:
    alpha = np.full((*sheet.covered.shape, 1), 255, np.uint16)
    return Png(np.concatenate([sheet.pixels(), alpha], 2), 8, RGBA)


def _grey_alpha(depth: int) -> Callable[[Sheet], Png]:
    def make(sheet: Sheet) -> Png:
        alpha = sheet.covered[..., None].astype(np.uint16)
        ink = np.full_like(alpha, sum(sheet.paper.ink) // 3)
        return Png(_fine(np.concatenate([ink, alpha], 2), depth), depth, GREY_ALPHA)

    return make


def _palette(depth: int, clear: bool = False) -> Callable[[Sheet], Png]:
    """Palette of up to 32 shades from sheet to ink; `clear` makes them ink of rising alpha."""

    def make(sheet: Sheet) -> Png:
        top = min(2**depth, 32) - 1
        index = (sheet.covered.astype(np.uint16) * top + 127) // 255
        shades = (np.arange(top + 1) * 255 // top).astype(np.uint8)
        colours = mix(sheet.paper, np.full_like(shades, 255) if clear else shades).astype(np.uint8)
        alpha = shades[:-1].tobytes() if clear else b""
        return Png(index[..., None], depth, PALETTE, colours, alpha)

    return make


KINDS = {
    "grey1": Kind(_grey(1), hard=True),
    "grey2": Kind(_grey(2)),
    "grey4": Kind(_grey(4)),
    "grey8": Kind(_grey(8)),
    "grey16": Kind(_grey(16)),
    "grey1-key": Kind(_keyed(_grey(1)), light=True, hard=True),
    "grey2-key": Kind(_keyed(_grey(2)), light=True),
    "grey4-key": Kind(_keyed(_grey(4)), light=True),
    "grey8-key": Kind(_keyed(_grey(8)), light=True),
    "grey16-key": Kind(_keyed(_grey(16)), light=True),
    "rgb8": Kind(_rgb(8)),
    "rgb16": Kind(_rgb(16)),
    "rgb8-key": Kind(_keyed(_rgb(8)), light=True),
    "rgb16-key": Kind(_keyed(_rgb(16)), light=True),
    "palette1": Kind(_palette(1), hard=True),
    "palette2": Kind(_palette(2)),
    "palette4": Kind(_palette(4)),
    "palette8": Kind(_palette(8)),
    "palette4-clear": Kind(_palette(4, clear=True), light=True),
    "palette8-clear": Kind(_palette(8, clear=True), light=True),
    "grey-alpha8": Kind(_grey_alpha(8), light=True),
    "grey-alpha16": Kind(_grey_alpha(16), light=True),
    "rgba8": Kind(_rgba(8), light=True),
    "rgba8-opaque": Kind(_opaque_rgba, light=False),
    "rgba16": Kind(_rgba(16), light=True),
}


def encode(kind: str, sheet: Sheet, interlaced: bool) -> bytes:
    """Return the sheet as a PNG file of that kind."""
    png: pngfile.Png = KINDS[kind].make(sheet)
    return png.encode(interlaced)

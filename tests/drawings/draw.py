"""Draw digits as strangers draw them, into PNG files of every kind, all from a seed.

    python tests/drawings/draw.py                                    # the committed set
    python tests/drawings/draw.py --seed 7 --count 500 --out DIR     # as many others

No pixel comes from MNIST or from a font: the strokes are in `glyphs.py`, the pens in
`pens.py`, papers and kinds of file in `papers.py`, the PNG writer in `pngfile.py`.
A drawing is named NUMBER_DIGIT-STYLE_PEN_PAPER_PLACE_KIND_WIDTHxHEIGHT; `labels.json`
maps each file to its digit. The same seed and count give the same pixels everywhere:
chance comes from `random.Random`, whose stream Python keeps, and each drawing has its own.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
from glyphs import STYLES, Hand, Points
from papers import KINDS, PAPERS, Sheet, encode
from pens import PENS, Coverage, Pen, ink

HERE = Path(__file__).parent
SEED, COUNT = 1, 75

SIZES = (
    (28, 28),
    (20, 20),
    (64, 48),
    (100, 300),
    (300, 100),
    (57, 91),
    (280, 280),
    (480, 640),
    (640, 480),
    (1000, 700),
)
PLACES = ("centre", "aside", "corner", "large", "border")
SMALLEST = 13  # pixels that a digit needs to be read at a glance


@dataclass(frozen=True)
class Plan:
    """What one drawing is to be; its fields name its file."""

    digit: str
    style: str
    pen: str
    paper: str
    place: str
    kind: str
    size: tuple[int, int]
    hard: bool
    interlaced: bool

    def name(self, number: int) -> str:
        """Return the file's name."""
        parts = (f"{self.digit}-{self.style}", self.pen, self.paper, self.place, self.kind)
        width, height = self.size
        text = "_".join((f"{number:03}", *parts, f"{width}x{height}"))
        return text.replace(" ", "-") + ("_adam7.png" if self.interlaced else ".png")


def deal(cards: tuple[str, ...], rng: Random) -> Iterator[str]:
    """Yield the cards for ever, shuffled anew each round: none is left out for long."""
    while True:
        yield from rng.sample(cards, len(cards))


def plans(count: int, rng: Random) -> Iterator[Plan]:
    """Yield `count` plans in which digits, styles, pens, places, kinds and sizes take turns."""
    digits, pens, places = (deal(tuple(deck), rng) for deck in (STYLES, PENS, PLACES))
    kinds = deal(tuple(KINDS), rng)
    sizes = deal(tuple(map(str, range(len(SIZES)))), rng)
    styles = {digit: deal(tuple(STYLES[digit]), rng) for digit in STYLES}
    papers = {side: deal(tuple(_papers(side)), rng) for side in (True, False)}
    for number in range(count):
        digit, pen, kind = next(digits), next(pens), next(kinds)
        light = KINDS[kind].light
        if light is None:
            light = rng.random() < {"pencil": 0.9, "chalk": 0.1}.get(pen, 0.45)
        paper = "faint on white" if light and faint(pen, rng) else next(papers[light])
        hard = KINDS[kind].hard or rng.random() < 0.2
        yield Plan(
            digit=digit,
            style=next(styles[digit]),
            pen=pen,
            paper=paper,
            place=next(places),
            kind=kind,
            size=SIZES[int(next(sizes))],
            hard=hard,
            interlaced=number % 3 == 2,
        )


def faint(pen: str, rng: Random) -> bool:
    """Return whether a hand presses so lightly that the line is hardly darker than the sheet."""
    return rng.random() < {"pencil": 0.35, "ball": 0.2, "felt": 0.05}.get(pen, 0.0)


def _papers(light: bool) -> list[str]:
    return [name for name in PAPERS if PAPERS[name].light is light and name != "faint on white"]


def lay_out(strokes: list[Points], plan: Plan, rng: Random) -> tuple[list[Points], float]:
    """Return the strokes in pixels at the place that is planned, and the width of the line."""
    pen: Pen = PENS[plan.pen]
    share = rng.uniform(pen.thin, pen.thick)
    points = np.concatenate(strokes)
    low, high = points.min(0), points.max(0)
    canvas = np.array(plan.size, float)
    fill = {
        "centre": rng.uniform(0.6, 0.8),
        "aside": rng.uniform(0.3, 0.5),
        "corner": rng.uniform(0.15, 0.25),
        "large": rng.uniform(0.86, 0.94),
        "border": rng.uniform(0.45, 0.85),
    }[plan.place]
    whole = ((canvas - 1) / (high - low + share)).min()
    scale = min(whole, max(fill * whole, SMALLEST))
    width = max(share * scale, 1.0)
    room = canvas - (high - low) * scale - width
    corner = _corner(plan.place, room, width, rng)
    return [(stroke - low) * scale + corner + width / 2 for stroke in strokes], width


def _corner(place: str, room: Points, width: float, rng: Random) -> Points:
    """Return where the ink's upper left corner goes, given the free room (x, y) in pixels."""
    if place in ("centre", "large"):
        return room / 2 + np.array([rng.uniform(-0.04, 0.04), rng.uniform(-0.04, 0.04)]) * room
    if place == "aside":
        return np.array([rng.uniform(0, 1), rng.uniform(0, 1)]) * room
    if place == "corner":
        gap = np.array([rng.uniform(0.02, 0.08), rng.uniform(0.02, 0.08)])
        return np.where([rng.random() < 0.5, rng.random() < 0.5], gap, 1 - gap) * room
    spot = np.array([rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8)]) * room
    axis, over = rng.randrange(2), width * rng.uniform(0.1, 0.4)
    spot[axis] = -over if rng.random() < 0.5 else room[axis] + over
    return spot


def draw(plan: Plan, rng: Random) -> bytes:
    """Return the planned drawing as a PNG file."""
    strokes = Hand.draw(rng).write(STYLES[plan.digit][plan.style], rng)
    placed, width = lay_out(strokes, plan, rng)
    shape = (plan.size[1], plan.size[0])
    covered: Coverage = ink(placed, shape, PENS[plan.pen], width, plan.hard, rng)
    return encode(plan.kind, Sheet.lay(covered, PAPERS[plan.paper], rng), plan.interlaced)


def main() -> None:
    """Read the options and draw."""
    parser = argparse.ArgumentParser(description="draw digits as strangers draw them")
    parser.add_argument("--seed", type=int, default=SEED, help="where all chance comes from")
    parser.add_argument("--count", type=int, default=COUNT, help="how many drawings")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for PNGs and labels.json")
    options = parser.parse_args()

    options.out.mkdir(parents=True, exist_ok=True)
    labels = {}
    for number, plan in enumerate(plans(options.count, Random(f"{options.seed}"))):
        name = plan.name(number)
        rng = Random(f"{options.seed} {number}")
        (options.out / name).write_bytes(draw(plan, rng))
        labels[name] = plan.digit
    (options.out / "labels.json").write_text(json.dumps(labels, indent=1) + "\n")


if __name__ == "__main__":
    main()

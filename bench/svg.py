"""Results drawn as SVG: strips of what each contestant took, and curves of how it grows."""

from collections.abc import Sequence
from html import escape

from torchcrate.bench.axis import Axis
from torchcrate.bench.results import Lane, Plot, Spread
from torchcrate.bench.words import seconds

_WIDTH = 760
_RIGHT, _TOP = 90, 44
_ROW = 24
_COLOURS = ("#1f6fb4", "#c8501e", "#2a8a4a", "#7a4fa3", "#8a6d1c", "#b23a6f", "#3a8f96", "#666666")
_STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#222}.t{font-weight:600;font-size:13px}.n{fill:#666}"
)


def strips(title: str, lanes: Sequence[Lane]) -> str:
    """Draw the times of each lane that did not fail, on one logarithmic axis.

    A thin line reaches from the 10th percentile to the 99th, a thick one to the 90th; the
    mark is the median, written at the right.
    """
    drawn = [(lane, Spread.of(lane.seconds)) for lane in lanes if lane.rounds]
    if not drawn:
        return _picture(title, _TOP, [_text(8, _TOP, "nothing was measured")])
    left = 24 + 7 * max(len(lane.name) for lane, _ in drawn)
    ends = [value for _, lies in drawn for value in (lies.low, lies.p99)]
    axis = Axis.over(ends, left, _WIDTH - _RIGHT, logarithmic=True)
    bottom = _TOP + _ROW * len(drawn)
    body = [_upright(axis, tick, _TOP, bottom, seconds(tick)) for tick in axis.ticks()]
    for number, (lane, lies) in enumerate(drawn):
        y, colour = _TOP + _ROW * (number + 0.5), _COLOURS[0]
        low, median, high, p99 = map(axis.at, (lies.low, lies.median, lies.high, lies.p99))
        body += [
            _text(left - 10, y + 4, lane.name, "end"),
            _line(low, y, p99, y, colour, 1),
            _line(low, y, high, y, colour, 6, 0.45),
            _line(median, y - 7, median, y + 7, colour, 3),
            _text(_WIDTH - _RIGHT + 12, y + 4, seconds(lies.median)),
        ]
    return _picture(title, bottom + 26, body)


def curves(plot: Plot) -> str:
    """Draw the curves of a plot, each with its name at the right of its last point."""
    points = [point for curve in plot.curves for point in curve.points]
    if not points:
        return _picture(plot.title, _TOP, [_text(8, _TOP, "nothing was measured")])
    longest = max(len(curve.name) for curve in plot.curves)
    left, right, bottom = 70, max(190, 24 + 7 * longest), 360
    kind = {"logarithmic": plot.logarithmic}
    across = Axis.over([x for x, _ in points], left, _WIDTH - right, **kind)
    up = Axis.over([y for _, y in points], bottom, _TOP, **kind)
    body = [_upright(across, tick, _TOP, bottom, _short(tick)) for tick in across.ticks()]
    for tick in up.ticks():
        y = up.at(tick)
        body.append(_line(left, y, _WIDTH - right, y, "#ddd", 1))
        body.append(_text(left - 8, y + 4, _short(tick), "end"))
    body.append(_text((left + _WIDTH - right) / 2, bottom + 38, plot.x, "middle"))
    body.append(_text(8, _TOP - 8, plot.y))
    ends = [up.at(curve.points[-1][1]) if curve.points else 0.0 for curve in plot.curves]
    places = _apart(ends, 15)
    for number, (curve, place) in enumerate(zip(plot.curves, places, strict=True)):
        if not curve.points:
            continue
        colour = _COLOURS[number % len(_COLOURS)]
        spots = [(across.at(x), up.at(y)) for x, y in curve.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        body += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in spots]
        body.append(_text(_WIDTH - right + 12, place + 4, curve.name, colour=colour))
    return _picture(plot.title, bottom + 50, body)


def _picture(title: str, height: float, body: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" '
            f'width="{_WIDTH}" height="{height:.0f}" role="img">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            '<rect width="100%" height="100%" fill="#fff"/>',
            f'<text class="t" x="8" y="20">{escape(title)}</text>',
            *body,
            "</svg>\n",
        ]
    )


def _upright(axis: Axis, tick: float, top: float, bottom: float, word: str) -> str:
    x = axis.at(tick)
    return _line(x, top, x, bottom, "#ddd", 1) + _text(x, bottom + 17, word, "middle", kind="n")


def _line(
    x1: float, y1: float, x2: float, y2: float, colour: str, width: float, opacity: float = 1.0
) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width}" stroke-opacity="{opacity}"/>'
    )


def _text(
    x: float, y: float, words: str, anchor: str = "start", *, colour: str = "", kind: str = ""
) -> str:
    style = f' style="fill:{colour}"' if colour else ""
    named = f' class="{kind}"' if kind else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{named}{style}>{escape(words)}</text>'
    )


def _apart(places: Sequence[float], gap: float) -> list[float]:
    """Return `places` moved down so far that each is `gap` below the one before."""
    moved, last = dict[int, float](), float("-inf")
    for number in sorted(range(len(places)), key=lambda number: places[number]):
        moved[number] = last = max(places[number], last + gap)
    return [moved[number] for number in range(len(places))]


def _short(value: float) -> str:
    """Return a value with three digits and the letter of its thousands: 600 M."""
    for letter, size in (("G", 1e9), ("M", 1e6), ("K", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {letter}"
    return f"{value:.3g}"

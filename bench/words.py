"""Results as tables for people."""

from torchcrate.bench.results import Bar, Lane, Part, Results, Spread
from torchcrate.table import table


def shown(results: Results) -> str:
    """Return all parts of `results`, the machine first."""
    machine = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    parts = [f"{results.crate} on {machine}"]
    return "\n\n".join([*parts, *map(_part, results.parts)])


def _part(part: Part) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in part.settings.items())
    blocks = [f"{part.title} ({settings})"]
    if part.lanes:
        blocks.append(lanes_table(part.lanes))
    if part.bars:
        blocks.append(bars_table(part.bars))
    return "\n".join([*blocks, *part.words])


def lanes_table(lanes: tuple[Lane, ...]) -> str:
    """Return the times of a race, one line a contestant, then a line for each that failed."""
    whole = any(lane.peak for lane in lanes)
    head = ("contestant", "median", "p90", "p99", "10 % to 90 %", "times", "cores")
    rows: list[tuple[str, ...]] = [head + (("memory",) if whole else ())]
    for lane in lanes:
        if lane.failure or not lane.rounds:
            continue
        lies = Spread.of(lane.seconds)
        row: tuple[str, ...] = (lane.name, *map(seconds, (lies.median, lies.high, lies.p99)))
        row += (f"{lies.low / lies.median:.2f} to {lies.high / lies.median:.2f}", str(lies.count))
        row += ("-" if lane.cores is None else f"{lane.cores:.2f}",)
        if whole:
            row += (f"{max(lane.peak) / 1e6:.0f} MB" if lane.peak else "-",)
        rows.append(row)
    lines = [table(rows)] if len(rows) > 1 else []
    return "\n".join([*lines, *(f"{lane.name}: {lane.failure}" for lane in lanes if lane.failure)])


def bars_table(bars: tuple[Bar, ...]) -> str:
    """Return what was judged, one line a bar."""
    rows = [("bar", "found", "10 % to 90 %", "bound", "holds")]
    for bar in bars:
        found = bar.found
        figures = (
            ("none", "")
            if found is None
            else (
                figure(found.median, bar.unit),
                f"{figure(found.low, bar.unit)} to {figure(found.high, bar.unit)}",
            )
        )
        bound = f"{'>=' if bar.least else '<='} {figure(bar.bound, bar.unit)}"
        rows.append((bar.what, *figures, bound, "yes" if bar.holds else "no"))
    notes = [f"{bar.what}: {bar.note}" for bar in bars if bar.note]
    return "\n".join([table(rows), *notes])


def seconds(value: float) -> str:
    """Return a time in the unit in which it has one to three digits before the point."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if abs(value) >= size:
            digits = ".3g" if abs(value) < 1000 * size else ".0f"
            return f"{value / size:{digits}} {unit}"
    return f"{value / 1e-9:.3g} ns"


def figure(value: float, unit: str) -> str:
    """Return a figure that is judged, with its unit."""
    if unit == "x":
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    if unit == "s":
        return seconds(value)
    return f"{value:.3g} {unit}".strip()

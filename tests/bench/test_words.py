"""A table says each figure with its unit, and who failed in a line of its own."""

import pytest

from torchcrate.bench.race import judged
from torchcrate.bench.results import Lane
from torchcrate.bench.words import bars_table, figure, lanes_table, seconds


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1234.0, "1234 s"),
        (12.0, "12 s"),
        (0.0123, "12.3 ms"),
        (1.1e-4, "110 us"),
        (2e-8, "20 ns"),
    ],
)
def test_a_time_is_said_in_the_unit_that_fits(value: float, words: str) -> None:
    assert seconds(value) == words


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [(1.234, "x", "1.23"), (12.34, "x", "12.3"), (-0.0123, "s", "-12.3 ms"), (2.0, "MB", "2 MB")],
)
def test_a_figure_is_said_with_its_unit(value: float, unit: str, words: str) -> None:
    assert figure(value, unit) == words


def test_a_lane_shows_its_figures_and_a_failure_its_reason() -> None:
    lanes = (
        Lane("C++", ((1.0,), (2.0,)), (0.5, 0.5), (100_000_000, 90_000_000)),
        Lane("broken", failure="it failed: killed"),
    )

    head, shown, failed = lanes_table(lanes).splitlines()

    assert head.split()[:2] == ["contestant", "median"]
    assert head.split()[-2:] == ["cores", "memory"]
    assert shown.split()[:2] == ["C++", "1.5"]
    assert shown.split()[-3:] == ["0.33", "100", "MB"]  # core-seconds over seconds, of all rounds
    assert failed == "broken: it failed: killed"


def test_a_bar_shows_figure_bound_and_verdict() -> None:
    bars = (judged("quick", [6.0], 5.0, least=True), judged("slow", (), 1.2, note="no C++"))

    _, good, bad, note = bars_table(bars).splitlines()

    assert good.split() == ["quick", "6.00", "6.00", "to", "6.00", ">=", "5.00", "yes"]
    assert bad.split() == ["slow", "none", "<=", "1.20", "no"]
    assert note == "slow: no C++"

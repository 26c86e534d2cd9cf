"""Results are values: what was dumped is read back, and quantiles are what the book says."""

import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchcrate.bench.results import Bar, Curve, Lane, Part, Plot, Results, Spread
from torchcrate.errors import ContractError

TIMES = st.floats(1e-9, 1e6)
LANES = st.builds(
    Lane,
    st.text(max_size=9),
    st.lists(st.lists(TIMES, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple),
    st.lists(TIMES, max_size=2).map(tuple),
    st.lists(st.integers(0, 2**40), max_size=2).map(tuple),
)


def results(lanes: tuple[Lane, ...]) -> Results:
    bar = Bar("it", Spread.of([1.0, 2.0]), 1.5, False, "x", True, "a note")
    plot = Plot("files", "time over files", "files", "seconds", (Curve("C++", ((1.0, 2.0),)),))
    part = Part("files", "PNG files", {"files": "10"}, lanes, (bar,), (plot,), ("bound by C++",))
    return Results("net 1.0.0", "0" * 64, {"cores": "2"}, 1, (part,))


@given(st.lists(LANES, max_size=3).map(tuple))
def test_what_was_dumped_is_read_back(lanes: tuple[Lane, ...]) -> None:
    written = results(lanes)

    assert Results.parse(written.dump()) == written


def test_what_is_no_result_is_one_line() -> None:
    with pytest.raises(ContractError, match="not the results of a benchmark"):
        Results.parse(b'{"crate": 1}')


@given(st.lists(TIMES, min_size=2, max_size=60))
def test_quantiles_are_those_of_the_standard_library(values: list[float]) -> None:
    lies = Spread.of(values)

    tenths = statistics.quantiles(values, n=10, method="inclusive")
    assert lies.count == len(values)
    assert lies.median == pytest.approx(statistics.median(values))
    assert (lies.low, lies.high) == pytest.approx((tenths[0], tenths[-1]))
    assert lies.p99 == pytest.approx(statistics.quantiles(values, n=100, method="inclusive")[-1])


def test_one_value_is_its_own_spread() -> None:
    assert Spread.of([3.0]) == Spread(1, 3.0, 3.0, 3.0, 3.0)

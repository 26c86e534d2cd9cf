"""Pictures are whole SVG, and what is larger lies farther along."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchcrate.bench.axis import Axis
from torchcrate.bench.results import Curve, Lane, Plot
from torchcrate.bench.svg import curves, strips

SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    return [node.text or "" for node in ET.fromstring(picture).iter(f"{SVG}text")]


@pytest.mark.parametrize("logarithmic", [False, True])
@given(values=st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=9))
def test_an_axis_holds_its_values_in_order_with_a_few_round_ticks(
    logarithmic: bool, values: list[float]
) -> None:
    axis = Axis.over(values, 0.0, 100.0, logarithmic=logarithmic)

    places = [axis.at(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(0 <= place <= 100 for place in places)
    ticks = axis.ticks()
    assert (2 if min(values) < max(values) / 1.01 else 0) <= len(ticks) <= 7
    assert all(-1e-6 <= axis.at(tick) <= 100 + 1e-6 for tick in ticks)


def test_a_logarithmic_axis_refuses_zero() -> None:
    with pytest.raises(ValueError, match="holds no 0"):
        Axis.over([0.0, 1.0], 0, 1, logarithmic=True)


def test_strips_name_each_lane_with_its_median_and_leave_out_who_failed() -> None:
    lanes = [
        Lane("C++ & <loop>", ((0.5,), (1.5,), (1.0,))),
        Lane("Python", ((2.0,),)),
        Lane("broken", failure="it failed"),
    ]

    picture = strips("files", lanes)

    said = texts(picture)
    assert {"C++ & <loop>", "1 s", "Python", "2 s"} <= set(said)
    assert "broken" not in said


def test_a_long_name_is_whole_within_the_picture() -> None:
    name = "mnist-net 0.1.0: run_torchscript, whole process"

    picture = strips("gate", [Lane(name, ((0.5,), (0.9,)))])

    (x,) = re.findall(rf'<text x="([\d.]+)"[^>]*text-anchor="end"[^>]*>{name}', picture)
    assert float(x) >= 6.5 * len(name)


def test_curves_go_through_their_points_from_left_to_right() -> None:
    plot = Plot("n", "growth", "files", "s", (Curve("a", ((1, 1), (10, 10), (100, 100))),))

    picture = curves(plot)

    (line,) = re.findall(r'polyline points="([^"]+)"', picture)
    spots = [tuple(map(float, spot.split(","))) for spot in line.split()]
    assert spots == sorted(spots)  # x grows
    assert [y for _, y in spots] == sorted((y for _, y in spots), reverse=True)  # and so does y
    assert {"growth", "files", "s", "a"} <= set(texts(picture))


def test_nothing_measured_is_a_picture_that_says_so() -> None:
    assert "nothing was measured" in texts(strips("files", [Lane("x", failure="y")]))
    assert "nothing was measured" in texts(curves(Plot("n", "t", "x", "y", ())))

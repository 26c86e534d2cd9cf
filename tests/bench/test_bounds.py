"""What bounds a call is said from figures: change the figures, and it says something else."""

import json
import sys
import time

import pytest
import torch

from torchcrate.bench.bounds import GEMM, READ, WHOLE, Size, bounded, reached, started
from torchcrate.bench.grow import quicker
from torchcrate.bench.process import run
from torchcrate.bench.results import Curve, Lane


def size(at: int, model: float, product: float, read: float) -> Size:
    lanes = ((WHOLE, model), (GEMM, product), (READ, read))
    return Size("net", at, 2_000_000, 1_000_000, tuple(Lane(n, ((s,),)) for n, s in lanes))


def test_what_bounds_a_call_changes_with_its_size() -> None:
    sizes = [size(1, 10, 1, 1), size(10, 20, 2, 10), size(100, 30, 3, 20), size(1000, 90, 80, 40)]

    assert bounded(sizes, "images") == (
        "bound by the work about each operation from 1 images on, "
        "reading memory from 10 images on, arithmetic from 1,000 images on"
    )


def test_the_limit_that_is_reached_is_the_higher_of_both() -> None:
    assert reached(size(256, 10, 4, 1)).startswith("a batch of 256 reaches 40 % of the machine")
    assert reached(size(256, 10, 4, 9)).startswith("a batch of 256 reaches 90 % of the machine")


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (((1.0, 0.1), (1001.0, 0.2)), "net: bound by its start, 0.10 s, up to 1,000 files, then"),
        (((1.0, 0.1), (1001.0, 0.1)), "net: bound by its start, 0.10 s, up to 1,001 files"),
    ],
)
def test_a_start_is_weighed_against_files(
    points: tuple[tuple[float, float], ...], words: str
) -> None:
    assert started(Curve("net", points)).startswith(words)


@pytest.mark.parametrize("best", [1, 2])
def test_a_limit_is_measured_on_as_many_threads_as_make_it_quicker(best: int) -> None:
    asked = []

    def call() -> None:
        asked.append(torch.get_num_threads())
        time.sleep(0.001 if asked[-1] == best else 0.02)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        chosen = quicker("limit", call)
        asked.clear()
        chosen.measure()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)

    assert set(asked) == {best}


def test_networks_that_grow_are_measured_beside_their_limits() -> None:
    options = ("parameters", "-", "1", "1", "20000")

    found = json.loads(run([sys.executable, "-m", "torchcrate.bench.grow", *options]).last)

    assert [each["curve"] for each in found] == [
        "linear, batch 1",
        "linear, batch 256",
        "convolutions, batch 1",
    ]
    assert found[1]["operations"] == 256 * found[0]["operations"] > 0
    for each in found:
        assert [lane["name"] for lane in each["lanes"]] == [WHOLE, GEMM, READ]
        assert not any(lane["failure"] for lane in each["lanes"])

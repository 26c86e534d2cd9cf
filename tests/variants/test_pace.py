"""Faster is faster in three rounds of four, at every size of batch."""

import pytest

from torchcrate.bench.subject import batch_axis
from torchcrate.model.contract import Contract, Sizes, tensor
from torchcrate.variants.pace import faster
from torchcrate.verify.figures import Pace


def pace(batch: int, low: float, median: float, high: float) -> Pace:
    return Pace(batch, 9, 1e-3, low, median, high)


def test_a_variant_that_is_faster_at_every_size_is_faster() -> None:
    assert faster([pace(1, 0.4, 0.5, 0.99), pace(64, 0.2, 0.3, 0.4)]) == ""


@pytest.mark.parametrize(
    ("found", "why"),
    [
        ([pace(1, 0.4, 0.9, 1.0), pace(64, 0.2, 0.3, 0.4)], "0.40 to 1.00 of the time at batch 1"),
        ([pace(1, 0.4, 0.5, 0.6), pace(64, 0.9, 1.1, 1.2)], "0.90 to 1.20 of the time at batch 64"),
        ([pace(1, 0.4, 0.5, float("nan"))], "0.40 to nan of the time"),
        ([], "not raced"),
    ],
    ids=["one entry", "many", "NaN", "no race"],
)
def test_a_variant_that_is_not_is_told_where(found: list[Pace], why: str) -> None:
    assert why in faster(found)


def test_a_batch_is_the_first_free_axis_that_all_inputs_have() -> None:
    both = (tensor("a:float32[batch,4]"), tensor("b:int64[batch,time]"))
    apart = (tensor("a:float32[time,batch]"), tensor("b:int64[batch]"))
    fixed = (tensor("a:float32[4,batch]"),)

    found = [
        batch_axis(Contract(given, (), (), {"time": Sizes()})) for given in (both, apart, fixed)
    ]

    assert found == ["batch", None, None]

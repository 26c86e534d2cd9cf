"""The network is asked with what its contract allows, and with nothing else."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torchcrate.errors import ContractError
from torchcrate.model.contract import Contract, Sizes, tensor
from torchcrate.model.eager import answers


class Twice(nn.Module):
    """Doubles what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def asked(given: str, *values: float) -> None:
    spec = tensor(f"x:{given}")
    contract = Contract((spec,), (tensor(f"y:{spec.dtype}[n]"),), sizes={"n": Sizes(0)})
    answers(Twice(), contract, {"mine": {"x": np.array(values, spec.dtype)}})


@pytest.mark.parametrize(
    ("given", "value", "words"),
    [
        ("int64[n] in 0..9", -1, "x holds -1 at mine, its range is 0..9"),
        ("int64[n] in 0..9", 10, "x holds 10 at mine, its range is 0..9"),
        ("int32[n] in 0..16777216", 16777217, "x holds 16777217 at mine, its range is 0..16777216"),
        ("float32[n] in 0..", -0.5, "x holds -0.5 at mine, its range is 0.."),
        ("float32[n] in ..1", math.nan, "x holds nan at mine, its range is ..1"),
    ],
)
def test_a_sample_out_of_its_range_is_refused_as_the_programs_refuse_it(
    given: str, value: float, words: str
) -> None:
    with pytest.raises(ContractError) as refused:
        asked(given, 1, value)

    assert str(refused.value) == words


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ("int64[n] in 0..9", (0, 9)),
        ("float32[n] in 0.1..0.7", (0.1, 0.7)),  # neither of which float32 holds
        ("float16[n] in 0.1..0.7", (0.1, 0.7)),
        ("int64[n] in 0..9", ()),
        ("float32[n]", (math.nan,)),
    ],
)
def test_a_sample_inside_its_range_is_asked(given: str, values: tuple[float, ...]) -> None:
    asked(given, *values)


def test_a_mask_has_no_range() -> None:
    contract = Contract((tensor("x:bool[n]"),), (tensor("y:int64[n]"),))

    found = answers(Twice(), contract, {"mine": {"x": np.array([True, False])}})

    assert torch.equal(torch.from_numpy(found["mine"]["y"]), torch.tensor([2, 0]))


@pytest.mark.parametrize("value", [[["one"]], [[1.0], [2.0, 3.0]], None])
def test_a_sample_that_is_no_array_of_numbers_is_refused_in_one_line(value: object) -> None:
    contract = Contract((tensor("x:float32[n]"),), (tensor("y:float32[n]"),))

    with pytest.raises(ContractError, match="x is no array of numbers: "):
        answers(Twice(), contract, {"mine": {"x": value}})

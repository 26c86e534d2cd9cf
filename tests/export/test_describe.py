"""The outputs that nobody described are worked out by asking the network twice."""

import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from torchcrate.errors import ContractError, ExportError
from torchcrate.export.describe import completed
from torchcrate.model.contract import Contract, Sizes, tensor


class Asked(nn.Module):
    """A network that is one function."""

    def __init__(self, answer: Any) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(x)


@dataclass
class Boxes:
    corners: Tensor
    scores: Tensor


class Pair(NamedTuple):
    mean: Tensor
    spread: Tensor


X = "x:float32[batch,time,3]"


def outputs(answer: Any, *inputs: str) -> list[str]:
    """Return the outputs of `answer` as text."""
    contract = Contract(tuple(map(tensor, inputs or (X,))), ())
    return [spec.words() for spec in completed(Asked(answer).eval(), contract).outputs]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: x, ["output:float32[batch,time,3]"]),
        (lambda x: x.sum(), ["output:float32[]"]),
        (lambda x: x.mean((0, 2)), ["output:float32[time]"]),
        (lambda x: x.flatten(1)[:, :2] > 0, ["output:bool[batch,2]"]),
        (lambda x: x.argmax(2), ["output:int64[batch,time]"]),
        (lambda x: x.half(), ["output:float16[batch,time,3]"]),
        (lambda x: x.transpose(0, 1), ["output:float32[time,batch,3]"]),
        (lambda x: (x, x.sum(1)), ["output_0:float32[batch,time,3]", "output_1:float32[batch,3]"]),
        (lambda x: [x.sum(1)], ["output:float32[batch,3]"]),
        (lambda x: {"label": x.sum(), "paths": x.sum()}, ["output_0:float32[]", "paths:float32[]"]),
        (lambda x: {"error": x.sum()}, ["output:float32[]"]),
        (lambda x: {"a": x.sum(1), "b": x.sum()}, ["a:float32[batch,3]", "b:float32[]"]),
        (
            lambda x: OrderedDict(out=x.sum(1), aux=x.sum(2)),
            ["out:float32[batch,3]", "aux:float32[batch,time]"],
        ),
        (
            lambda x: Boxes(x.sum(1), x.sum((1, 2))),
            ["corners:float32[batch,3]", "scores:float32[batch]"],
        ),
        (lambda x: Pair(x.mean(1), x.std(1)), ["mean:float32[batch,3]", "spread:float32[batch,3]"]),
        (lambda x: (x.sum(), {"a": x.sum(1)}), ["output_0:float32[]", "a:float32[batch,3]"]),
        (lambda x: {"x": x.sum(1)}, ["output:float32[batch,3]"]),
        (
            lambda x: {"maps": [x.sum(1), (x.sum(),)], "last": Pair(x.sum(), x.sum(1))},
            [
                "maps_0:float32[batch,3]",
                "maps_1_0:float32[]",
                "last_mean:float32[]",
                "last_spread:float32[batch,3]",
            ],
        ),
        (lambda x: ({"a": [x.sum()]}, [x.sum()]), ["a_0:float32[]", "output_1:float32[]"]),
        (lambda x: {"a": {"my-key": x.sum()}}, ["output:float32[]"]),
    ],
)
def test_names_dtypes_and_axes_are_those_of_the_answer(answer: Any, words: list[str]) -> None:
    assert outputs(answer) == words


def test_an_axis_that_is_reckoned_has_a_name_of_its_own() -> None:
    contract = Contract((tensor(X),), (), sizes={"time": Sizes(2, 64)})

    found = completed(Asked(lambda x: torch.cat([x, x], 1)).eval(), contract)

    assert found.outputs[0].words() == "output:float32[batch,output_1,3]"
    assert found.sizes == {"time": Sizes(2, 64), "output_1": Sizes(0)}


def test_one_name_at_two_places_stays_two_outputs() -> None:
    names = [word.partition(":")[0] for word in outputs(lambda x: ({"a": x}, {"a": x.sum()}))]

    assert len(set(names)) == 2


def test_a_fixed_size_that_another_axis_happens_to_have_is_fixed() -> None:
    words = outputs(lambda x: x.new_zeros(len(x), 3), "x:float32[batch,3]")

    assert words == ["output:float32[batch,3]"]


def test_two_axes_of_equal_size_are_told_apart() -> None:
    words = outputs(lambda x: x.transpose(1, 2), "x:float32[batch,height,width]")

    assert words == ["output:float32[batch,width,height]"]


def test_what_was_described_is_left_as_it_is() -> None:
    contract = Contract((tensor(X),), (tensor("y:int8[whatever]"),))

    assert completed(Asked(lambda x: 1 / 0).eval(), contract) is contract


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (lambda x: 7, ExportError, "answer is int, not a tensor"),
        (lambda x: (x, None), ExportError, "answer[1] is NoneType, not a tensor"),
        (lambda x: {"a": "b"}, ExportError, "answer['a'] is str, not a tensor"),
        (lambda x: x.reshape(-1, 7), ExportError, "the network fails on x (3, "),
        (lambda x: 1 / 0, ExportError, "ZeroDivisionError"),
        (lambda x: sys.exit(), ExportError, "it ends the program at tests/export/test_describe.py"),
        (lambda x: x.bfloat16(), ContractError, "output output is bfloat16, which is none of"),
        (lambda x: x + 1j, ContractError, "output output is complex64"),
    ],
)
def test_what_is_no_answer_is_one_line(answer: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as refused:
        outputs(answer)

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda x: tuple(x), "returns answer[2] of 2 axes to one input and nothing to another"),
        (lambda x: x.sum() if len(x) == 2 else x, "of 3 axes to one input and answer of 0 axes"),
        (lambda x: {"a" if len(x) == 2 else "b": x}, "returns answer['b'] of 3 axes to one input"),
    ],
)
def test_tensors_or_axes_that_come_and_go_are_refused(answer: Any, words: str) -> None:
    with pytest.raises(ExportError) as refused:
        outputs(answer)

    assert words in str(refused.value)

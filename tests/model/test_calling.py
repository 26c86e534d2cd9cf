"""A network gets its inputs where `forward` wants them, and any answer becomes a list."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from torchcrate.model.calling import answer, call, flatten

ONE, TWO, THREE = (torch.tensor(float(value)) for value in (1, 2, 3))


class Pair(NamedTuple):
    mean: Tensor
    spread: Tensor


@dataclass
class Found:
    boxes: Tensor
    rest: list[Tensor]


class Leading(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return 10 * x + y


class Gap(nn.Module):
    def forward(self, x: Tensor, scale: float = 3.0, y: Tensor | None = None) -> Tensor:
        return 10 * x + scale * (THREE if y is None else y)


class KeywordOnly(nn.Module):
    def forward(self, x: Tensor, *, y: Tensor) -> Tensor:
        return 10 * x + y


class Anything(nn.Module):
    def forward(self, *x: Tensor, **named: Tensor) -> Tensor:
        return 10 * x[0] + x[1] + 100 * len(named)


class Named(nn.Module):
    def forward(self, **named: Tensor) -> Tensor:
        return 10 * named["x"] + named["y"]


@pytest.mark.parametrize("module", [Leading(), KeywordOnly(), Anything(), Named()])
def test_inputs_go_where_forward_wants_them(module: nn.Module) -> None:
    (answer,) = call(module, ["x", "y"], [ONE, TWO])

    assert answer == 12


def test_inputs_with_other_names_go_by_position() -> None:
    (answer,) = call(Leading(), ["tokens", "mask"], [ONE, TWO])

    assert answer == 12


def test_inputs_in_another_order_go_by_name() -> None:
    (answer,) = call(Leading(), ["y", "x"], [TWO, ONE])

    assert answer == 12


def test_a_parameter_between_two_inputs_keeps_its_default() -> None:
    (answer,) = call(Gap(), ["x", "y"], [ONE, TWO])

    assert answer == 16


def test_an_absent_input_is_none() -> None:
    (answer,) = call(Gap(), ["x", "y"], [ONE, None])

    assert answer == 19


def test_inputs_that_forward_does_not_take_are_an_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'z'"):
        call(Leading(), ["x", "y", "z"], [ONE, TWO, THREE])


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
def test_a_compiled_network_takes_its_inputs_by_position() -> None:
    (answer,) = call(torch.jit.script(Leading()), ["a", "b"], [ONE, TWO])

    assert answer == 12


@pytest.mark.parametrize(
    ("answer", "paths"),
    [
        (ONE, [""]),
        ((ONE, [TWO, THREE]), ["[0]", "[1][0]", "[1][1]"]),
        (Pair(ONE, TWO), [".mean", ".spread"]),
        (OrderedDict(out=ONE, aux=TWO), ["['out']", "['aux']"]),
        (Found(ONE, [TWO]), [".boxes", ".rest[0]"]),
        ([{"boxes": ONE, 7: TWO}], ["[0]['boxes']", "[0][7]"]),
        (torch.stack([ONE, TWO]).max(dim=0), ["[0]", "[1]"]),
        ((), []),
    ],
    ids=str,
)
def test_every_tensor_is_found_by_its_path(answer: object, paths: list[str]) -> None:
    found = flatten(answer)

    assert [path for path, _ in found] == paths
    assert all(eval(f"answer{path}", {"answer": answer}) is tensor for path, tensor in found)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "answer is NoneType, not a tensor"),
        ((ONE, 3), "answer[1] is int, not a tensor"),
        (Found(ONE, ["word"]), "answer.rest[0] is str, not a tensor"),  # type: ignore[list-item]
        ({"a": Found}, "answer['a'] is type, not a tensor"),
    ],
    ids=["none", "number", "word", "class"],
)
def test_a_leaf_that_is_no_tensor_is_named(answer: object, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        flatten(answer)

    assert str(caught.value) == said


def test_an_answer_is_what_the_network_itself_returns() -> None:
    class Net(nn.Module):
        def forward(self, *, x: Tensor, times: Tensor) -> dict[str, object]:
            return {"y": x * times, "words": "of no tensor"}

    found = answer(Net(), ["x", "times"], [torch.ones(2), torch.full((2,), 3.0)])

    assert found["y"].tolist() == [3, 3]
    assert found["words"] == "of no tensor"


def test_the_module_itself_is_no_input_whatever_its_name() -> None:
    class Net(nn.Module):
        def forward(net, x: Tensor) -> Tensor:  # noqa: N805 - the name is what is tested
            return 2 * x

    class Any(nn.Module):
        def forward(*given: Tensor) -> Tensor:  # type: ignore[misc]  # the module is one of them
            return 3 * given[1]

    doubled, trebled = (call(nn.Sequential(one), ["x"], [ONE])[0] for one in (Net(), Any()))
    assert (doubled, trebled) == (2, 3)

"""A network is asked itself: twice the same, one row alone, other inputs."""

import inspect
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from torchcrate.export.doctor import answers
from torchcrate.export.doctor.variety import variety as told
from torchcrate.model.cases import example, generated
from torchcrate.model.contract import Contract, tensor
from torchcrate.model.eager import answers as eager

X = tensor("x:float32[batch,4]")


class Behind(nn.Module):
    """A part that lies two levels deep."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), part)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.dropout(x, 0.5, training=True)


class Chance(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * random.random()


class Adding(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x += 1
        return x * 2


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 2


class Remembering(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        answer = x + self.last
        self.last = answer.mean(0)
        return answer


class Centring(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(0)


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.auxiliary = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


class Still(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 4)
        nn.init.zeros_(self.head.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


class Logarithm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.log()


class Sole(nn.Module):
    """NaN for a batch of one, whatever it holds."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.mean(0)) / (x.shape[0] - 1)


class Named(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"scores": x, "kind": ["cat"]}


class Deaf(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * 2


def line(part: type[nn.Module], text: str) -> str:
    """Return `test_answers.py:LINE` of the line in a class that holds `text`."""
    lines, first = inspect.getsourcelines(part)
    number = next(n for n, one in enumerate(lines) if text in one)
    return f"test_answers.py:{first + number}"


def contract_of(module: nn.Module) -> Contract:
    contract = Contract((X,), ())
    return answers.outputs(module, contract, generated(contract))[1]


def twice(module: nn.Module) -> answers.Twice:
    return answers.twice(module, Contract((X,), ()), example(Contract((X,), ())))


def unused(module: nn.Module) -> Any:
    contract = Contract((X,), ())
    return answers.unused(module, contract, generated(contract), twice(module))


def variety(module: nn.Module) -> Any:
    contract = contract_of(module)
    cases = generated(contract)
    return told(module, contract, cases, eager(module, contract, cases), 1e-4)


def test_a_sound_network_passes_every_check() -> None:
    module = Behind(nn.Dropout()).eval()
    asked = twice(module)

    found = [
        answers.in_place(asked),
        answers.random(module, asked),
        answers.memory(module, asked),
        unused(module),
        answers.rows(module, contract_of(module)),
        variety(module),
    ]

    assert [check.state for check in found] == ["ok"] * 6


def test_dropout_that_training_true_leaves_on_is_found_at_its_line() -> None:
    module = Behind(Noisy()).eval()

    found = answers.random(module, twice(module))

    assert found.state == "fault"
    assert f"body.1 (Noisy) at {line(Noisy, 'training=True')}" in found.where.replace(
        "tests/export/doctor/", ""
    )
    assert "training=self.training" in found.do


def test_a_dropout_that_mostly_drops_nothing_is_found_all_the_same() -> None:
    class Seldom(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return functional.dropout(x, 0.03, training=True)

    found = [answers.random(part, twice(part)).state for part in [Seldom() for _ in range(8)]]

    assert found.count("fault") >= 6


def test_chance_that_torch_does_not_draw_is_found_by_the_first_part_that_differs() -> None:
    module = Behind(Chance()).eval()

    found = answers.random(module, twice(module))

    assert found.state == "fault"
    assert found.where.startswith("body.1 (Chance) at ")


@pytest.mark.parametrize(
    ("module", "part"),
    [(Adding(), "the network (Adding)"), (nn.Sequential(nn.ReLU(inplace=True)), "0 (ReLU)")],
    ids=["own", "inplace"],
)
def test_a_changed_input_is_named_with_who_changes_it(module: nn.Module, part: str) -> None:
    found = answers.in_place(twice(module))

    assert found.state == "note"
    assert found.what.startswith("x is changed by aten.")
    assert found.where.startswith(part)


def test_a_counter_is_noted_and_put_back() -> None:
    module = Counting()

    found = answers.memory(module, twice(module))

    assert found.state == "note"
    assert "calls" in found.what
    assert line(Counting, "self.calls += 1") in found.where
    assert float(module.calls) == 0


def test_an_answer_that_depends_on_the_call_before_is_a_fault() -> None:
    module = Remembering()
    asked = twice(module)

    found = answers.memory(module, asked)

    assert found.state == "fault"
    assert "last" in found.what
    assert answers.random(module, asked).state == "ok"  # it is said once
    assert not module.last.any()


def test_a_parameter_that_nothing_uses_is_named() -> None:
    module = Auxiliary()

    found = unused(module)

    assert found.state == "note"
    assert found.what == "auxiliary.weight, auxiliary.bias are used at none of 6 inputs"


class Choosing(nn.Module):
    """Asks one of two parts, by what the input holds."""

    def __init__(self) -> None:
        super().__init__()
        self.above, self.below = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.above(x) if x.sum() > 0 else self.below(x)


def test_a_parameter_of_another_branch_is_used() -> None:
    assert unused(Choosing()).state == "ok"


def test_a_row_that_depends_on_the_others_is_noted_with_the_part() -> None:
    module = Behind(Centring()).eval()

    found = answers.rows(module, contract_of(module))

    assert found.state == "note"
    assert found.where.startswith("body.1 (Centring) at ")


def test_answers_that_do_not_vary_are_noted_with_the_part_that_forgets() -> None:
    found = variety(Still())

    assert found.state == "note"
    assert found.where.startswith("head (Linear)")


def test_an_answer_with_nan_is_a_fault_with_the_part_that_makes_it() -> None:
    found = variety(Behind(Logarithm()).eval())

    assert found.state == "fault"
    assert found.where.startswith("body.1 (Logarithm) at ")


def test_nan_is_looked_for_with_the_inputs_that_made_it() -> None:
    found = variety(Behind(Sole()).eval())

    assert found.state == "fault"
    assert found.where.startswith("body.1 (Sole) at ")


def test_an_input_that_changes_no_answer_is_named() -> None:
    contract = Contract((X, tensor("mask:float32[batch,4]")), ())
    cases = generated(contract)
    contract = answers.outputs(Deaf(), contract, cases)[1]

    check = told(Deaf(), contract, cases, eager(Deaf(), contract, cases), 1e-4)

    assert check.state == "note"
    assert "input mask changes no answer" in check.what


def test_an_output_that_is_no_tensor_is_named_with_its_path_and_type() -> None:
    contract = Contract((X,), ())

    found, _ = answers.outputs(Named(), contract, generated(contract))

    assert found.state == "fault"
    assert found.what == "answer['kind'][0] is str, not a tensor"
    assert "test_answers.py" in found.where

"""The first layer at which an export answers unlike eager is found."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from torchcrate.export.doctor.locate import locate
from torchcrate.model.contract import Contract, tensor

CONTRACT = Contract((tensor("x:float32[batch,4]"),), (tensor("y:float32[batch,3]"),))


class Deep(nn.Module):
    """Holds a part between layers, two levels down."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), part, nn.ReLU())
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(self.stem(x)))


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x * 2
        if x.sum() > 0:
            x = x - 3
        return self.inner(x)


class OffInScript(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_scripting():
            return x * 1.01
        return x


class OffInOnnx(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 1.01 if torch.compiler.is_exporting() else x


def inputs(sign: float) -> dict[str, NDArray[np.float32]]:
    return {"x": np.full((2, 4), sign, np.float32)}


def deep(part: nn.Module) -> nn.Module:
    torch.manual_seed(3)
    module = Deep(part).eval()
    with torch.no_grad():  # signs pass the layers before the part as they are
        for layer in (module.stem, module.body[0]):
            layer.weight.copy_(torch.eye(4))
            layer.bias.zero_()
    return module


def test_the_branch_that_a_trace_froze_is_named_and_not_the_layer_behind_it() -> None:
    found = {locate(deep(Branch()), CONTRACT, inputs(sign), "trace") for sign in (1, -1)}

    assert "" in found  # the way that the trace took
    assert any(text.startswith("body.1 (Branch) at ") for text in found)


@pytest.mark.parametrize(("way", "part"), [("script", OffInScript), ("onnx", OffInOnnx)])
def test_a_part_that_is_off_when_exported_is_named(way: str, part: type[nn.Module]) -> None:
    found = locate(deep(part()), CONTRACT, inputs(1), way)

    assert found.startswith(f"body.1 ({part.__name__}) at ")
    assert "test_locate.py" in found


def test_a_network_whose_own_forward_is_off_is_named_itself() -> None:
    contract = Contract((tensor("x:float32[batch,4]"),), (tensor("y:float32[batch,4]"),))
    found = {locate(Branch().eval(), contract, inputs(sign), "trace") for sign in (1, -1)}

    assert any(text.startswith("the network (Branch) at ") for text in found)


def test_nothing_is_named_where_nothing_is_off() -> None:
    assert locate(deep(nn.Tanh()), CONTRACT, inputs(1), "trace") == ""


def test_a_part_that_cannot_be_exported_tells_nothing() -> None:
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError

    assert locate(Failing(), CONTRACT, inputs(1), "trace") == ""

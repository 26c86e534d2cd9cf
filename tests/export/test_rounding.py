"""How far a network is from itself in float64 says what no export can be blamed for."""

import numpy as np
import torch
from torch import Tensor, nn

from torchcrate.export.rounding import rounding
from torchcrate.model.contract import Contract, tensor

CONTRACT = Contract(
    (tensor("x:float32[n]"), tensor("k:int64[n]")), (tensor("y:float32[n]"), tensor("z:int64[n]"))
)
CASE = {"x": np.array([1.0, 3.0], np.float32), "k": np.array([1, 2])}


class Lossy(nn.Module):
    """x beside a number so large that float32 forgets x."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.large = nn.Parameter(torch.tensor(1e8))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        return (x + self.large) - self.large, k * 2


class Narrow(nn.Module):
    def forward(self, x: Tensor, k: Tensor) -> tuple[Tensor, Tensor]:
        return nn.functional.linear(x, torch.eye(2)), k  # a float32 that stands in the code


def test_each_output_is_held_against_itself_in_float64() -> None:
    module = Lossy()

    found = rounding(module, CONTRACT, CASE)

    assert found == {"y": 3 / (1 + 3), "z": 0.0}
    assert module.calls == 0
    assert module.large.dtype == torch.float32


def test_of_what_cannot_compute_so_nothing_is_said() -> None:
    assert rounding(Narrow(), CONTRACT, CASE) == {}

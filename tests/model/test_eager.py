"""What eager answers, and how far rounding alone takes it."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from torchcrate.model.contract import Contract, tensor
from torchcrate.model.eager import rounding

X = Contract((tensor("x:float32[n]"),), (tensor("y:float32[n]"),))
CASES = {"three": {"x": np.array([0.5, 1.5, 2.5], dtype=np.float32)}}


class Cancels(nn.Module):
    """What is left of x when something large was added and taken away."""

    def __init__(self, large: float) -> None:
        super().__init__()
        self.large = nn.Parameter(torch.tensor(large))

    def forward(self, x: Tensor) -> Tensor:
        return (x / 3 + self.large) - self.large


class Single(nn.Module):
    """Refuses anything but float32."""

    def forward(self, x: Tensor) -> Tensor:
        return x @ torch.ones(3, 3)


@pytest.mark.parametrize(("large", "low", "high"), [(1e6, 1e-3, 1e-1), (1.0, 1e-9, 1e-6)])
def test_rounding_is_what_the_network_loses_in_its_own_precision(
    large: float, low: float, high: float
) -> None:
    network = Cancels(large)

    assert low < rounding(network, X, CASES) < high
    assert network.large.dtype == torch.float32  # asked in a copy


def test_a_network_that_float64_cannot_ask_has_no_rounding() -> None:
    assert rounding(Single(), X, CASES) == 0.0

"""A graph answers like the network where numbers are extreme, and at the ends of its sizes."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from torchcrate.export.to_onnx import to_onnx
from torchcrate.model.contract import Contract, Sizes, tensor


class LogSigmoid(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return functional.logsigmoid(x)


class Positions(nn.Module):
    """Adds a learned table that is as long as an input may be."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.arange(8.0))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.table[: x.size(1)]


@pytest.mark.parametrize(
    ("network", "sizes", "x"),
    [
        (LogSigmoid(), {}, [[-1000, -100, -20, -17, -1, 0, 1, 20, 100]]),
        (Positions(), {"m": Sizes(1, 8)}, [[1, 2, 3, 4, 5, 6, 7, 8]]),
        (Positions(), {"m": Sizes(1, 8)}, [[1]]),
    ],
    ids=["logsigmoid", "a whole table", "its first row"],
)
def test_it_answers_like_the_network(
    network: nn.Module, sizes: dict[str, Sizes], x: list[list[float]], tmp_path: Path
) -> None:
    contract = Contract((tensor("x:float32[n,m]"),), (tensor("y:float32[n,m]"),), (), sizes)
    given, path = np.array(x, np.float32), tmp_path / "model.onnx"

    to_onnx(network.eval(), contract, path, {"x": torch.ones(3, 5)})

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"x": given})
    np.testing.assert_allclose(
        got, network(torch.from_numpy(given)).detach(), rtol=1e-6, atol=1e-30
    )

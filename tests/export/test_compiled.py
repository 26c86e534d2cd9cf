"""Networks that are TorchScript already are exported and examined like others."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from torchcrate.export.doctor.examine import examine
from torchcrate.export.models import export_models
from torchcrate.model import weights
from torchcrate.model.spec import ModelSpec


class Normed(nn.Module):
    """With buffers, which are put back after each call."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.layers(x)
        return answer


class Holding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = compiled()

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = 2 * self.body(x)
        return answer


def compiled() -> nn.Module:
    module: nn.Module = torch.jit.script(Normed())
    return module


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize(("build", "part"), [(compiled, "the network"), (Holding, "body")])
def test_a_compiled_network_has_torchscript_and_onnx_is_refused_in_words(
    tmp_path: Path, build: type[nn.Module], part: str
) -> None:
    spec = ModelSpec("net", build, ("x:float32[batch,4]",))

    found = export_models(weights.load(spec), spec, tmp_path).findings
    checks = {check.name: check for check in examine(spec).checks}

    _, torchscript, onnx = found.formats
    assert torchscript.way == "script"
    assert onnx.reason.startswith(f"{part} is compiled to TorchScript")
    assert [name for name, check in checks.items() if check.state != "ok"] == ["onnx"]


def frozen() -> nn.Module:
    module: nn.Module = torch.jit.freeze(torch.jit.script(Normed().eval()))
    return module


class HoldingFrozen(Holding):
    def __init__(self) -> None:
        super().__init__()
        self.body = frozen()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("build", "part"), [(frozen, "the network"), (HoldingFrozen, "body")])
def test_a_frozen_network_is_told_apart_without_an_address_of_this_process(
    tmp_path: Path, build: type[nn.Module], part: str
) -> None:
    spec = ModelSpec("net", build, ("x:float32[batch,4]",))

    torchscript = export_models(weights.load(spec), spec, tmp_path).findings.formats[1]

    assert torchscript.reason.startswith(f"script: {part} is frozen TorchScript")
    assert "before torch.jit.freeze" in torchscript.reason
    assert "0x" not in torchscript.reason

"""What is tried of a format is held against eager, and the layer that is off is named."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from torchcrate.export import choose, findings
from torchcrate.model import cases
from torchcrate.model.contract import Contract, tensor
from torchcrate.model.eager import answers

CONTRACT = Contract((tensor("x:float32[batch,4]"),), (tensor("y:float32[batch,4]"),))


class OffInScript(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_scripting():
            return x * 1.01
        return x


class OffInTrace(nn.Module):
    def forward(self, *given: Tensor) -> Tensor:  # which no script can say
        (x,) = given
        return x * 1.01 if torch.jit.is_tracing() else x


class OffInOnnx(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 1.01 if torch.compiler.is_exporting() else x


class Cancelling(nn.Module):
    """A small difference of two large sums, which float32 hardly holds."""

    def forward(self, x: Tensor) -> Tensor:
        many = torch.cat([x * (1e6 + n) for n in range(100)], 1)
        return x + (many.sum(1, keepdim=True) - many.flip(1).sum(1, keepdim=True))


class AnotherShapeInScript(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if torch.jit.is_scripting():
            return x[:, :1]
        return x


class Counting(nn.Module):
    """Counts its calls, off in script, and off by how many there were."""

    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        if torch.jit.is_scripting():
            return x * 1.01
        return x


def asked(part: nn.Module) -> choose.Asked:
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(4, 4), nn.Sequential(part, nn.ReLU())).eval()
    made_up = cases.generated(CONTRACT)
    return choose.Asked(
        module,
        CONTRACT,
        {name: torch.from_numpy(value) for name, value in cases.example(CONTRACT).items()},
        made_up,
        answers(module, CONTRACT, made_up),
        {"torchscript": 1e-5, "onnx": 1e-4},
    )


def tried(part: nn.Module, way: str, folder: Path) -> findings.Trial:
    form = (
        choose.onnx(asked(part), folder / "model.onnx")
        if way == "onnx"
        else choose.torchscript(asked(part), folder / "model.pt")
    )
    return next(trial for trial in form.trials if trial.way == way)


@pytest.mark.parametrize(
    ("way", "part"), [("script", OffInScript), ("trace", OffInTrace), ("onnx", OffInOnnx)]
)
def test_a_way_that_is_off_says_which_layer_is_the_first_to_differ(
    tmp_path: Path, way: str, part: type[nn.Module]
) -> None:
    trial = tried(part(), way, tmp_path)

    assert not trial.holds
    assert " is off by " in trial.reason
    assert f"; first to differ is 1.0 ({part.__name__}) at " in trial.reason
    assert "test_choose.py:" in trial.reason


def test_a_way_that_is_off_by_eagers_own_rounding_says_so(tmp_path: Path) -> None:
    trial = tried(Cancelling(), "onnx", tmp_path)

    assert " is off by " in trial.reason
    assert "; by rounding: eager's own answer is off by " in trial.reason
    assert trial.reason.endswith(" from the one in float64, allow more in `tolerances`")


def test_the_layer_that_gives_another_shape_is_named(tmp_path: Path) -> None:
    trial = tried(AnotherShapeInScript(), "script", tmp_path)

    assert " is off by " not in trial.reason
    assert "; first to differ is 1.0 (AnotherShapeInScript) at " in trial.reason


def test_a_way_that_holds_names_no_layer(tmp_path: Path) -> None:
    trial = tried(nn.Tanh(), "script", tmp_path)

    assert (trial.holds, trial.reason) == (True, "")


def test_to_find_the_layer_leaves_the_network_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Counting(), Counting()

    found = tried(parts[0], "script", tmp_path)
    monkeypatch.setattr(choose, "_PATIENCE", 0)
    other = tried(parts[1], "script", tmp_path)

    assert ["first to differ" in trial.reason for trial in (found, other)] == [True, False]
    assert parts[0].count == parts[1].count


@pytest.mark.parametrize("limit", ["LARGE", "_PATIENCE"])
def test_nobody_waits_for_the_layer_of_a_network_that_is_large_or_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(choose, limit, 0)

    trial = tried(OffInScript(), "script", tmp_path)

    assert trial.reason.endswith(", allowed are 1.0e-05")

"""A crate whose models do not hold the weights of its model.pth is found out by the layer."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from torchcrate.export import to_torchscript
from torchcrate.export.doctor.damage import damaged
from torchcrate.export.to_onnx import to_onnx
from torchcrate.export.to_state_dict import to_state_dict
from torchcrate.model.cases import example
from torchcrate.model.contract import Contract, tensor

CONTRACT = Contract((tensor("x:float32[batch,4]"),), (tensor("y:float32[batch,3]"),))


def network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 3)).eval()


def write(folder: Path, way: to_torchscript.Way, module: nn.Module) -> None:
    seen = {name: torch.from_numpy(value) for name, value in example(CONTRACT).items()}
    made = to_torchscript.make(module, CONTRACT, way, seen)
    to_torchscript.save(made, CONTRACT, folder / "model.pt")


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    seen = {name: torch.from_numpy(value) for name, value in example(CONTRACT).items()}
    to_onnx(network(), CONTRACT, path, seen)
    return path


@pytest.mark.parametrize("way", to_torchscript.WAYS)
def test_models_with_the_weights_of_the_state_dict_are_sound(
    way: to_torchscript.Way, graph: Path, tmp_path: Path
) -> None:
    to_state_dict(network(), CONTRACT, tmp_path / "model.pth", None)
    write(tmp_path, way, network())
    (tmp_path / "model.onnx").write_bytes(graph.read_bytes())

    found = damaged(tmp_path)

    assert [(check.name, check.state) for check in found] == [
        ("model.pt", "ok"),
        ("model.onnx", "ok"),
    ]
    assert all(check.what.startswith("6 of 6 weights compared") for check in found)


def test_the_layer_whose_weight_is_off_in_torchscript_is_named(tmp_path: Path) -> None:
    to_state_dict(network(), CONTRACT, tmp_path / "model.pth", None)
    other = network()
    with torch.no_grad():
        other.get_parameter("2.weight")[1, 1] += 1e-3
    write(tmp_path, "trace", other)

    (found,) = damaged(tmp_path)

    assert found.state == "fault"
    assert found.what.startswith("2.weight is off by ")


class Masked(nn.Module):
    """Has a buffer of truth values, and one of small numbers that wrap."""

    def __init__(self, kept: list[bool], shift: list[int]) -> None:
        super().__init__()
        self.register_buffer("kept", torch.tensor(kept))
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.uint8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * self.kept + self.shift)[:, :3]


def test_weights_that_are_no_floats_are_compared_too(tmp_path: Path) -> None:
    sound = Masked([True, False, True, True], [1, 200, 3, 4]).eval()
    to_state_dict(sound, CONTRACT, tmp_path / "model.pth", None)
    other = Masked([True, True, True, True], [2, 200, 3, 4]).eval()
    write(tmp_path, "trace", other)

    (found,) = damaged(tmp_path)

    assert (found.state, found.what.split()[0]) == ("fault", "kept")


def test_the_layer_whose_weight_is_off_in_onnx_is_named(graph: Path, tmp_path: Path) -> None:
    to_state_dict(network(), CONTRACT, tmp_path / "model.pth", None)
    model = onnx.load(graph)
    weight = next(one for one in model.graph.initializer if one.name.endswith("3.bias"))
    values = onnx.numpy_helper.to_array(weight).copy()
    values[0] += 1e-3
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "model.onnx")

    (found,) = damaged(tmp_path)

    assert found.state == "fault"
    assert found.what.startswith("3.bias is off by ")

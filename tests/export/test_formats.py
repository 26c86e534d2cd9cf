"""Each format is one file, valid, with its contract inside, and refuses a net in train mode."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors
import torch
from torch import nn

from torchcrate.errors import ContractError, ExportError
from torchcrate.export import to_torchscript
from torchcrate.export.golden import LIMIT_BYTES
from torchcrate.export.models import export_models
from torchcrate.export.to_onnx import to_onnx
from torchcrate.model import cases
from torchcrate.model.contract import Contract
from torchcrate.model.digits import DIGITS, MNIST
from torchcrate.model.spec import ModelSpec
from torchcrate.model.weights import load


def test_onnx_is_one_valid_file_with_free_axes(drafted: Path, tmp_path: Path) -> None:
    alone = shutil.copy(drafted / "model.onnx", tmp_path)

    model = onnx.load(alone)

    onnx.checker.check_model(model, full_check=True)
    given = model.graph.input[0]
    axes = [dim.dim_param or dim.dim_value for dim in given.type.tensor_type.shape.dim]
    assert (given.name, axes) == ("image", ["batch", 1, "height", "width"])
    assert model.graph.output[0].name == "log_probs"
    assert not list(drafted.glob("*.data"))


def test_every_model_carries_its_contract(drafted: Path) -> None:
    model = onnx.load(drafted / "model.onnx")
    inside = {"contract.json": b""}
    torch.jit.load(drafted / "model.pt", _extra_files=inside)
    with zipfile.ZipFile(drafted / "model.pth") as archive:
        beside = archive.read("model/extra/contract.json")

    (noted,) = [prop.value for prop in model.metadata_props if prop.key == "contract"]

    assert Contract.parse(noted.encode()) == DIGITS
    assert Contract.parse(inside["contract.json"]) == DIGITS
    assert Contract.parse(beside) == DIGITS


test_every_model_carries_its_contract = pytest.mark.filterwarnings(
    "ignore:`torch.jit:DeprecationWarning"
)(test_every_model_carries_its_contract)


def test_the_state_dict_is_plain(drafted: Path) -> None:
    state = torch.load(drafted / "model.pth", weights_only=True)

    assert list(state) == list(load(MNIST).network.state_dict())


def example() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in cases.example(DIGITS).items()}


def script(module: nn.Module, path: Path) -> None:
    to_torchscript.save(to_torchscript.make(module, DIGITS, "script", example()), DIGITS, path)


def graph(module: nn.Module, path: Path) -> None:
    to_onnx(module, DIGITS, path, example())


@pytest.mark.parametrize("export", [script, graph])
def test_a_part_left_in_train_mode_is_refused_by_name(
    export: Callable[[nn.Module, Path], None], tmp_path: Path
) -> None:
    module = load(MNIST).module
    module[1].fc1_drop.train()

    with pytest.raises(ExportError, match=r"1\.fc1_drop is in train mode"):
        export(module, tmp_path / "model")

    assert not list(tmp_path.iterdir())


class Baked(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.float().reshape(3, -1)[:, :10]


def test_a_batch_baked_into_the_graph_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="log_probs has batch 3 whatever the input's"):
        graph(Baked().eval(), tmp_path / "model.onnx")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("outputs", "words"),
    [(("y:float32[n,3]", "z:float32[n]"), "1 outputs, not 2"), (("y:float32[3]",), "y has shape")],
)
def test_outputs_that_the_network_has_not_are_refused(
    tmp_path: Path, outputs: tuple[str, ...], words: str
) -> None:
    sizes = {"in_features": 4, "out_features": 3}
    spec = ModelSpec("net", nn.Linear, ("input:float32[n,4]",), outputs, arguments=sizes)

    with pytest.raises(ContractError, match=words):
        export_models(load(spec), spec, tmp_path)


def test_golden_vectors_are_small_and_complete(drafted: Path) -> None:
    with safetensors.safe_open(drafted / "golden.safetensors", "numpy") as file:
        names = set(file.keys())
        limits = json.loads(file.metadata()["limits"])
        images = [name for name in names if name.endswith(".image")]
        sizes = {file.get_slice(name).get_shape()[2] for name in images}
        finite = all(
            np.isfinite(file.get_tensor(name)).all() for name in names if name.endswith("log_probs")
        )

    assert (drafted / "golden.safetensors").stat().st_size < LIMIT_BYTES
    assert limits == {**MNIST.tolerances, "cuda": max(MNIST.tolerances.values())}
    assert {1, 20, 28, 57, 280, 480} <= sizes
    assert sum(name.startswith("drawing-") for name in names) >= 20
    assert finite


def test_records_in_an_archive_begin_on_64_bytes(drafted: Path) -> None:
    data = (drafted / "model.pt").read_bytes()

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            extra = int.from_bytes(data[info.header_offset + 28 :][:2], "little")
            start = info.header_offset + 30 + len(info.filename) + extra
            assert start % 64 == 0

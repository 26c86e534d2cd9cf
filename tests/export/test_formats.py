"""Each format is one file, valid, with its contract inside, and refuses a net in train mode."""

import io
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors
import torch
from torch import nn

from torchcrate.errors import ExportError
from torchcrate.export.golden import LIMIT_BYTES
from torchcrate.export.to_onnx import to_onnx
from torchcrate.export.to_torchscript import to_torchscript
from torchcrate.model.checkpoint import load
from torchcrate.model.contract import DIGITS, Contract
from torchcrate.model.spec import MNIST


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

    assert list(state) == list(load()[1].state_dict())


@pytest.mark.parametrize("export", [to_torchscript, to_onnx], ids=["torchscript", "onnx"])
def test_a_part_left_in_train_mode_is_refused_by_name(export: object) -> None:
    module = load()
    module[1].fc1_drop.train()

    with pytest.raises(ExportError, match=r"1\.fc1_drop is in train mode"):
        export(module, DIGITS)


class Unscriptable(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.tensor(json.loads("[1]")) + image


@pytest.mark.parametrize("export", [to_torchscript, to_onnx], ids=["torchscript", "onnx"])
def test_a_network_that_a_format_cannot_hold_is_one_line(export: object) -> None:
    class Branching(Unscriptable):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            sign = 1 if image.float().mean().item() > json.loads("3") else -1
            return sign * image.float()

    with pytest.raises(ExportError, match="cannot hold Branching") as caught:
        export(Branching().eval(), DIGITS)

    assert "\n" not in str(caught.value)


class Baked(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.float().reshape(3, -1)[:, :10]


def test_a_batch_baked_into_the_graph_is_refused() -> None:
    with pytest.raises(ExportError, match=r"cannot hold Baked|frozen"):
        to_onnx(Baked().eval(), DIGITS)


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
    assert limits == MNIST.limits
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

"""The same checkpoint gives the same bytes in any folder, process, hash seed and user."""

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from torchcrate.export import canonical, to_torchscript
from torchcrate.export.artifact import sha256_of
from torchcrate.export.to_onnx import to_onnx
from torchcrate.model import cases
from torchcrate.model.digits import DIGITS, MNIST
from torchcrate.model.weights import load

MODELS = ("model.pth", "model.pt", "model.onnx")


def content(crate: Path) -> dict[str, str]:
    """Return the sha256 of all files but those that say where and how quickly it was made."""
    other = {"draft.json", "provenance.json", "export.json", "__pycache__"}
    return {path.name: sha256_of(path) for path in crate.iterdir() if path.name not in other}


def test_another_folder_user_and_hash_seed_give_the_same_bytes(
    drafted: Path, tmp_path: Path, torchcrate: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    checkpoint = tmp_path / "elsewhere" / "weights.pth"
    checkpoint.parent.mkdir()
    shutil.copyfile(MNIST.checkpoint, checkpoint)

    done = torchcrate(
        *("export", "--checkpoint", checkpoint, "--out", "crate", "--version", VERSION),
        cwd=checkpoint.parent,
        PYTHONHASHSEED="12345",
        USER="somebody",
        LOGNAME="somebody",
        HOME=str(tmp_path),
    )

    assert done.returncode == 0, done.stderr
    assert content(checkpoint.parent / "crate") == content(drafted)


VERSION = (Path(__file__).parents[2] / "VERSION").read_text().strip()


class Other(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float().mean((1, 2, 3))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_other_networks_exported_before_in_the_process_change_nothing(
    drafted: Path, tmp_path: Path
) -> None:
    example = {name: torch.from_numpy(value) for name, value in cases.example(DIGITS).items()}
    for _ in range(3):
        torch.jit.script(nn.Sequential(Other()).eval())
        to_torchscript.make(nn.Sequential(Other()).eval(), DIGITS, "script", example)
    module = load(MNIST).module

    made = to_torchscript.make(module, DIGITS, "script", example)
    to_torchscript.save(made, DIGITS, tmp_path / "model.pt")
    to_onnx(module, DIGITS, tmp_path / "model.onnx", example)

    for name in ("model.pt", "model.onnx"):
        assert (tmp_path / name).read_bytes() == (drafted / name).read_bytes()


def archived(data: bytes) -> bytes:
    buffer = io.BytesIO()
    canonical.archive(io.BytesIO(data), buffer)
    return buffer.getvalue()


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_without_canonical_bytes_they_would_differ() -> None:
    """Shows that the test above can fail: torch's own bytes change within one process."""

    def bare() -> bytes:
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.freeze(torch.jit.script(load(MNIST).module)), buffer)
        return buffer.getvalue()

    first, second = bare(), bare()

    assert first != second
    assert archived(first) == archived(second)


LEAK = re.compile(
    rb"(?:/\w+)*/(?:site-packages|model|export|torchcrate)/\w+\.py|def forward\(|Traceback"
)


@pytest.mark.parametrize("name", MODELS)
def test_no_path_user_or_source_line_of_the_machine_is_in_a_model(drafted: Path, name: str) -> None:
    data = (drafted / name).read_bytes()
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            data = b"\n".join(archive.read(each) for each in names) + "\n".join(names).encode()
            data = data.replace(b"def forward(self: __torch__", b"")  # TorchScript's own code

    secrets = (Path.home(), Path.cwd(), sys.prefix, Path(__file__).parents[2])

    assert not LEAK.findall(data)
    for secret in secrets:
        assert len(str(secret)) < 3 or os.fsencode(secret) not in data


def test_torch_alone_would_leak_paths() -> None:
    """Shows that the test above can fail."""
    program = torch.onnx.export(
        load(MNIST).module,
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8),),
        external_data=False,
        verbose=False,
    )

    assert program is not None
    assert LEAK.search(program.model_proto.SerializeToString())


test_torch_alone_would_leak_paths = pytest.mark.filterwarnings("ignore")(
    test_torch_alone_would_leak_paths
)


def test_the_onnx_model_states_no_local_suffix_and_no_notes(drafted: Path) -> None:
    model = onnx.load(drafted / "model.onnx")

    assert re.fullmatch(r"[\d.]+", model.producer_version)
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


@pytest.mark.parametrize("number", [1, 12, 345])
def test_class_names_are_numbered_from_the_archive_alone(number: int) -> None:
    def archive(first: int) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as target:
            code = f"___torch_mangle_{first + 7}.B"
            target.writestr(f"x/code/a.___torch_mangle_{first}.py", code)
        return archived(buffer.getvalue())

    assert archive(number) == archive(0)

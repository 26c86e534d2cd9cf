"""Weights that one ONNX file cannot hold lie beside it, and no step of the road forgets them.

The limit is lowered, so that a small network goes the whole road as one of gigabytes does.
"""

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from torchcrate import road
from torchcrate.errors import ContractError, CrateError, FolderError, ParityError, RegistryError
from torchcrate.export import asking, to_onnx
from torchcrate.export.artifact import Artifact, sha256_of
from torchcrate.export.findings import Findings
from torchcrate.model.contract import tensor
from torchcrate.model.spec import ModelSpec
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.manifest import Manifest
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.selftest import selftest
from torchcrate.release.trust.provenance import Origin
from torchcrate.release.trust.suspect import examine

DATA = "model.onnx.data"


class Wide(nn.Module):
    """Layers of weights; TorchScript cannot hold it, so that the road is ONNX's alone."""

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))

    def forward(self, x: torch.Tensor, **unused: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_tracing():
            raise NotImplementedError("not while it is traced")
        for layer in self.layers:
            x = torch.relu(layer(x))
        return x


SPEC = ModelSpec("wide", Wide, (tensor("x:float32[batch,64]"),), formats=("onnx",))


def export(out: Path, largest: int, own_process: int) -> tuple[Manifest, Findings]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(to_onnx, "LARGEST", largest)
        patch.setattr(asking, "LARGE", own_process)
        return road.export(SPEC, "", out, "1.0.0", Origin(), lambda step: None)


@dataclass(frozen=True)
class Made:
    """The same network, exported into two folders and sealed in the first."""

    crate: Path
    other: Path
    manifest: Manifest
    findings: Findings


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    base = tmp_path_factory.mktemp("side")
    _, findings = export(base / "crate", 0, 0)
    export(base / "elsewhere" / "other", 0, 2**30)
    manifest = road.verify(SPEC, base / "crate", base / "cpp", None, lambda step: None)
    return Made(base / "crate", base / "elsewhere" / "other", manifest, findings)


@pytest.fixture
def crate(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.crate, tmp_path / "crate"))


@pytest.fixture
def shelf(tmp_path: Path) -> FolderRegistry:
    (tmp_path / "shelf").mkdir()
    return FolderRegistry(tmp_path / "shelf")


def test_the_side_file_is_a_file_of_the_crate_and_holds_the_weights(made: Made) -> None:
    (side,) = (file for file in made.manifest.files if file.role == "weights")
    graph = onnx.load(made.crate / "model.onnx", load_external_data=False)

    assert side == Artifact.of(made.crate / DATA, "weights", ("onnx",))
    assert side.size >= 3 * 64 * 64 * 4 > (made.crate / "model.onnx").stat().st_size
    places = {e.value for t in graph.graph.initializer for e in t.external_data if e.key[0] == "l"}
    assert DATA in places
    assert DATA in (made.crate / "INSTRUCTION.md").read_text()


def test_both_files_have_the_same_bytes_in_another_folder(made: Made) -> None:
    for name in ("model.onnx", DATA):
        assert sha256_of(made.crate / name) == sha256_of(made.other / name)


def test_the_runner_answered_like_eager_before_the_crate_was_sealed(made: Made) -> None:
    assert ("onnx", "tensors", True) in {
        (parity.runtime, parity.way, parity.passed) for parity in made.manifest.parity
    }


@pytest.mark.parametrize("only", [(), ("onnx",)], ids=["whole", "only onnx"])
def test_a_pull_brings_both_files_and_the_self_test_passes(
    made: Made, shelf: FolderRegistry, tmp_path: Path, only: tuple[str, ...]
) -> None:
    publish(made.crate, shelf)

    manifest = pull("wide@1.0.0", shelf, tmp_path / "out", only=only)

    assert (tmp_path / "out" / DATA).read_bytes() == (made.crate / DATA).read_bytes()
    assert "selftest passed" in selftest(tmp_path / "out", manifest)


def test_a_side_file_that_is_forgotten_is_missed_at_each_step_by_its_name(
    made: Made, crate: Path, shelf: FolderRegistry, tmp_path: Path
) -> None:
    publish(made.crate, shelf)
    (crate / DATA).unlink()
    (shelf_file,) = (tmp_path / "shelf").rglob(DATA)
    shelf_file.unlink()

    for step, kind in (
        (lambda: publish(crate, FolderRegistry(tmp_path / "empty")), ContractError),
        (lambda: road.verify(SPEC, crate, tmp_path, None, lambda step: None), FolderError),
        (lambda: pull("wide@1.0.0", shelf, tmp_path / "out"), RegistryError),
    ):
        with pytest.raises(kind, match=DATA):
            step()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("damage", ["a byte", "the end"])
def test_a_damaged_side_file_is_refused_by_its_name(
    made: Made, crate: Path, shelf: FolderRegistry, tmp_path: Path, damage: str
) -> None:
    publish(made.crate, shelf)
    (shelf_file,) = (tmp_path / "shelf").rglob(DATA)
    for path in (crate / DATA, shelf_file):
        data = bytearray(path.read_bytes())
        data[100] ^= 64
        path.write_bytes(data if damage == "a byte" else data[:-1])

    with pytest.raises(ContractError, match=rf"{DATA} changed since"):
        publish(crate, FolderRegistry(tmp_path / "empty"))
    with pytest.raises(RegistryError, match=DATA):
        pull("wide@1.0.0", shelf, tmp_path / "out")


def test_weights_that_are_damaged_before_the_verification_are_off(crate: Path) -> None:
    data = bytearray((crate / DATA).read_bytes())
    data[3:4096:4] = b"\x41" * len(data[3:4096:4])
    (crate / DATA).write_bytes(data)

    with pytest.raises(ParityError, match="onnx at "):
        road.verify(SPEC, crate, crate.parent, None, lambda step: None)


@pytest.mark.parametrize("left", [0, 100], ids=["missing", "cut short"])
def test_the_runner_says_what_it_lacks(crate: Path, left: int) -> None:
    data = (crate / DATA).read_bytes()[:left]
    (crate / DATA).unlink()
    if left:
        (crate / DATA).write_bytes(data)
    command = [sys.executable, "-B", str(crate / "run_onnx.py"), "--selftest"]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 6
    assert (DATA if not left else "given file_length: 100") in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "stated",
    [
        pytest.param({}, id="left out"),
        pytest.param({"formats": ("eager",)}, id="not pulled with the graph"),
        pytest.param({"role": "licence"}, id="no weights"),
    ],
)
def test_a_manifest_that_does_not_state_the_weights_is_refused_when_it_is_sealed(
    crate: Path, stated: dict[str, object]
) -> None:
    manifest = Manifest.parse((crate / "manifest.json").read_bytes())
    kept = [
        replace(file, **stated) if file.name == DATA else file  # type: ignore[arg-type]
        for file in manifest.files
        if stated or file.name != DATA
    ]

    examine(crate, manifest)
    with pytest.raises(CrateError, match=DATA):
        examine(crate, replace(manifest, files=tuple(kept)))

"""Whatever part of a crate was pulled, its golden vectors are replayed with what came along."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors
import safetensors.numpy

from torchcrate.errors import ContractError, ParityError, RunnerError
from torchcrate.release.crate import DRAFT
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.manifest import MANIFEST, SUMS, Manifest
from torchcrate.release.pull import pull
from torchcrate.release.selftest import selftest


@pytest.fixture
def shelf(drafted: Path, tmp_path: Path) -> FolderRegistry:
    """A folder registry that holds the real crate, as if it had been judged."""
    manifest = Manifest.parse((drafted / DRAFT).read_bytes())
    stored = tmp_path / "shelf" / manifest.name / manifest.version
    shutil.copytree(drafted, stored)
    (stored / DRAFT).rename(stored / MANIFEST)
    (stored / SUMS).write_bytes(manifest.sums())
    return FolderRegistry(tmp_path / "shelf")


@pytest.fixture
def take(shelf: FolderRegistry, tmp_path: Path):
    """Pull formats of the crate into a folder."""

    def pulled(*only: str) -> tuple[Path, Manifest]:
        manifest = pull("mnist-net@latest", shelf, tmp_path / "out", only=only)
        return tmp_path / "out", manifest

    return pulled


@pytest.mark.parametrize("format", ["onnx", "eager"])
def test_one_format_alone_passes_with_the_front_door(take, format) -> None:
    out, manifest = take(format)
    before = {path.name for path in out.iterdir()}

    said = selftest(out, manifest)

    assert said.startswith("selftest passed")
    assert {path.name for path in out.iterdir()} == before


@pytest.mark.parametrize("format", ["onnx", "torchscript"])
def test_one_format_alone_passes_with_its_own_runner(take, format) -> None:
    out, _ = take(format)
    command = [sys.executable, out / f"run_{format}.py", "--selftest"]

    done = subprocess.run(command, capture_output=True, text=True)

    assert done.stdout.startswith("selftest passed"), done.stderr


def test_a_runtime_that_was_not_pulled_is_one_line(take) -> None:
    out, _ = take("onnx")

    done = subprocess.run(
        [sys.executable, out / "run_mnist.py", "--runtime", "eager", "--selftest"],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 6
    assert done.stderr == "Error: run_eager.py is not here: pull the crate whole\n"


def test_a_crate_for_cpp_alone_says_where_to_read_on(take) -> None:
    out, manifest = take("cpp")

    with pytest.raises(RunnerError, match=r"no program for Python: see its INSTRUCTION\.md"):
        selftest(out, manifest)


def test_a_wrong_answer_is_a_parity_error(take) -> None:
    out, manifest = take("onnx")
    golden = out / "golden.safetensors"
    with safetensors.safe_open(golden, "numpy") as file:
        metadata = file.metadata()
    tensors = safetensors.numpy.load_file(golden)
    tensors[next(name for name in tensors if name.endswith("log_probs"))][0, 0] += 1
    safetensors.numpy.save_file(tensors, golden, metadata)

    with pytest.raises(ParityError, match=r"run_mnist\.py in .*selftest failed: \d+ vectors"):
        selftest(out, manifest)


@pytest.mark.parametrize(
    ("file", "kind"), [("model.onnx", RunnerError), ("golden.safetensors", ContractError)]
)
def test_a_damaged_file_is_one_line_of_its_kind(take, file, kind) -> None:
    out, manifest = take("onnx")
    (out / file).write_bytes(b"damaged")

    with pytest.raises(kind, match=file) as caught:
        selftest(out, manifest)

    assert "\n" not in str(caught.value)

"""The gate bites: each way in which an export goes wrong in life is caught before publishing."""

import io
import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import preloaded
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from torchcrate.errors import ContractError
from torchcrate.export import canonical, to_torchscript
from torchcrate.export.to_onnx import to_onnx
from torchcrate.export.to_state_dict import to_state_dict
from torchcrate.model import cases, mnist
from torchcrate.model.digits import DIGITS, MNIST
from torchcrate.model.net import Net
from torchcrate.model.preprocess import Preprocess
from torchcrate.model.samples import DRAWINGS, patterns
from torchcrate.model.weights import load
from torchcrate.release.crate import open_sealed, unseal
from torchcrate.verify import drive
from torchcrate.verify.drive import Program, programs, write_inputs
from torchcrate.verify.judge import judge
from torchcrate.verify.parity import allowed, compare
from torchcrate.verify.pictures import pictures, shown
from torchcrate.verify.reference import Reference
from torchcrate.verify.report import Parity, Report

pytestmark = pytest.mark.seconds(140)

Run = Callable[..., "subprocess.CompletedProcess[str]"]
BUILD = Path(__file__).parents[2] / "build" / "cpp"


@pytest.fixture(autouse=True)
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runners that need torch find it imported; one after the other, as forks must be."""
    turn = Lock()

    def run(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        script = command[len(drive.PYTHON)]
        if command[0] != sys.executable or script.endswith("run_onnx.py"):
            return subprocess.run(command, **options)
        with turn:
            return preloaded.run(script, *command[len(drive.PYTHON) + 1 :])

    monkeypatch.setattr(drive, "subprocess", SimpleNamespace(run=run))


@pytest.fixture
def crate(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "crate"))


def judged(crate: Path) -> Report:
    """Judge the crate on a few inputs, so that each damage costs seconds."""
    asked = {f"{name}-28": {"image": images} for name, images in patterns(2, 28, 28).items()}
    asked["strokes-57x91"] = {"image": patterns(7, 57, 91)["strokes"]}
    return judge(crate, unseal(crate).files, DIGITS, MNIST, BUILD, asked)


def example() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(value) for name, value in cases.example(DIGITS).items()}


def script(module: nn.Module, path: Path, way: to_torchscript.Way = "script") -> None:
    to_torchscript.save(to_torchscript.make(module, DIGITS, way, example()), DIGITS, path)


def graph(module: nn.Module, path: Path) -> None:
    to_onnx(module, DIGITS, path, example())


def off(report: Report) -> set[str]:
    return {line.split(" at ")[0] for line in report.failures}


def test_an_unharmed_crate_passes(crate: Path) -> None:
    report = judged(crate)

    assert report.passed
    assert {entry.runtime for entry in report.runtimes} == set(MNIST.tolerances)


class Unnormalised(Preprocess):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.picture(image)


class Transposed(Preprocess):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return ((self.picture(image) - self.mean) / self.deviation).transpose(2, 3)


def with_preprocess(preprocess: nn.Module) -> nn.Module:
    return nn.Sequential(preprocess, load(MNIST).network).eval()


def test_wrong_preprocessing_is_caught_in_each_format(crate: Path) -> None:
    script(with_preprocess(Unnormalised()), crate / "model.pt")
    graph(with_preprocess(Transposed()), crate / "model.onnx")

    assert off(judged(crate)) == {"torchscript", "libtorch", "onnx"}


def test_the_other_wrong_preprocessing_is_caught_in_each_format(crate: Path) -> None:
    script(with_preprocess(Transposed()), crate / "model.pt")
    graph(with_preprocess(Unnormalised()), crate / "model.onnx")

    assert off(judged(crate)) == {"torchscript", "libtorch", "onnx"}


def test_a_swapped_state_dict_is_caught_by_all_that_were_not_swapped(crate: Path) -> None:
    with zipfile.ZipFile(crate / "model.pth") as archive:
        extra = json.loads(archive.read(f"{canonical.TOP}/extra/network.json"))
    torch.manual_seed(0)
    to_state_dict(Net(), DIGITS, crate / "model.pth", extra)

    assert {"torchscript", "onnx", "libtorch", "golden"} <= off(judged(crate))


def test_weights_that_do_not_fit_are_told_before_anything_is_compiled(
    crate: Path, tmp_path: Path
) -> None:
    to_state_dict(nn.Linear(3, 2), DIGITS, crate / "model.pth", {})

    with pytest.raises(ContractError, match=r"model\.pth"):
        judge(crate, unseal(crate).files, DIGITS, MNIST, tmp_path / "cpp", {})

    assert not (tmp_path / "cpp").exists()


class Branching(Preprocess):
    """Right in eager for paper of either kind; a trace keeps the branch that its example took."""

    def _ink(self, grey: torch.Tensor) -> torch.Tensor:
        lightest = grey.amax((1, 2), keepdim=True)
        if (grey[:, 0] > 127).any():
            return super()._ink(grey)
        return (8 * grey - lightest).clamp(min=0)


@pytest.mark.filterwarnings("ignore")  # tracing warns, rightly: this is what it warns of
def test_a_damage_of_another_kind_in_each_format_is_caught_in_that_format(crate: Path) -> None:
    """One weight in ONNX, one number in the eager source, a trace that froze a branch."""
    model = onnx.load(crate / "model.onnx")
    (bias,) = (tensor for tensor in model.graph.initializer if tensor.name.endswith("fc2.bias"))
    values = numpy_helper.to_array(bias).copy()
    values[4] += 1e-3
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(model, crate / "model.onnx")
    source = (crate / "preprocess.py").read_text()
    (crate / "preprocess.py").write_text(source.replace("0.1307", "0.1308"))
    dark = np.zeros((2, 1, 28, 28), np.uint8)
    dark[:, :, 8:20, 12:15] = 255
    traced = torch.jit.trace(with_preprocess(Branching()), torch.from_numpy(dark))
    buffer = io.BytesIO()
    torch.jit.save(traced, buffer, _extra_files={"contract.json": DIGITS.dump()})
    (crate / "model.pt").write_bytes(buffer.getvalue())

    assert off(judged(crate)) == {"onnx", "eager", "torchscript", "libtorch"}


# One picture a damage that no other damage of the list could have moved.
MISREADINGS = {
    "luma": ("19595 * red", "9595 * red", "rgb8.png"),
    "alpha": ("+ 255 * (255 - alpha) +", "+", "grey-alpha8.png"),
    "key of 0": ('int.from_bytes(png.transparency, "big")', "0", "grey4-clear.png"),
    "key unscaled": (
        'table[int.from_bytes(png.transparency, "big") % len(values)]',
        'table[table == int.from_bytes(png.transparency, "big")]',
        "grey2-clear-adam7.png",
    ),
    "key of 16 bits": ("found == key[0]", "found >> 8 == key[0] >> 8", "grey16-clear.png"),
}


@pytest.fixture
def images(tmp_path: Path) -> dict[Path, np.ndarray]:
    (tmp_path / "images").mkdir()
    return shown(tmp_path / "images", DIGITS)


def judge_images(
    program: Program, crate: Path, images: dict[Path, np.ndarray]
) -> tuple[Parity, tuple[str, ...]]:
    """Hold what a program says of image files against eager on the pixels in them."""
    reference = Reference.of(crate / "model.pth", DIGITS, MNIST)
    got = program.read(list(images), {"log_probs": "float32"})
    limit = allowed(program.runtime, "images", reference.limits)
    return compare(program.runtime, "images", limit, reference.reading(images), got, DIGITS)


@pytest.mark.parametrize("damage", MISREADINGS)
def test_a_python_decoder_that_misreads_a_kind_of_png_is_caught(
    damage: str, crate: Path, images: dict[Path, np.ndarray], libtorch: Path
) -> None:
    """Asked of the quickest runner: the decoder is one file for all that are in Python."""
    right, wrong, picture = MISREADINGS[damage]
    source = (crate / "images.py").read_text()
    assert source.count(right) == 1
    (crate / "images.py").write_text(source.replace(right, wrong))
    (onnx_runner,) = programs(crate, ["run_onnx.py"], None)

    parity, failures = judge_images(onnx_runner, crate, images)

    assert not parity.passed
    assert any(line.startswith(f"onnx at {picture}: difference ") for line in failures)


def test_a_cpp_decoder_that_misreads_three_kinds_of_png_is_caught_in_each(
    crate: Path, images: dict[Path, np.ndarray], libtorch: Path
) -> None:
    """Three damages in one program, each with a picture that the two others do not touch."""
    source = (crate / "images.cpp").read_text()
    for right, wrong in (
        ("19595U * c[0] + 38470U * c[1]", "38470U * c[0] + 19595U * c[1]"),
        ("c * alpha + 255 * (255 - alpha) + 127", "c * alpha + 127"),
        ("(std::size_t{(*png.transparency)[0]} << 8 | (*png.transparency)[1]) % values", "0"),
    ):
        assert source.count(right) == 1
        source = source.replace(right, wrong)
    (crate / "images.cpp").write_text(source)
    relinked = with_images_of(crate, libtorch)
    (cpp,) = programs(crate, [], relinked)

    _, failures = judge_images(cpp, crate, images)

    named = {line.split(":")[0].removeprefix("libtorch at ") for line in failures}
    assert {"rgb8.png", "grey-alpha8.png", "grey4-clear.png"} <= named
    assert not named & {"grey4.png", "grey8-adam7.png", *(path.name for path in DRAWINGS.iterdir())}


def with_images_of(crate: Path, libtorch: Path) -> Path:
    """Return the C++ program with `images.cpp` of `crate`, linked as CMake linked `libtorch`.

    The rest is not compiled again, as that takes a minute.
    """
    made, program = crate / "images.o", crate / "run_libtorch"
    compile_it = ["c++", "-std=c++17", "-O1", "-c", crate / "images.cpp", "-o", made]
    subprocess.run(compile_it, check=True)
    build = libtorch.parent / "source" / "build"
    words = shlex.split((build / "CMakeFiles" / "run_libtorch.dir" / "link.txt").read_text())
    words[words.index("-o") + 1] = str(program)
    # Found there first, not in the library.
    words.insert(words.index("libtorchcrate_crate.a"), str(made))
    subprocess.run(words, cwd=build, check=True)
    return program


def test_verify_says_what_is_off_and_publish_then_refuses(
    crate: Path, tmp_path: Path, torchcrate: Run
) -> None:
    graph(with_preprocess(Transposed()), crate / "model.onnx")

    judgement = torchcrate("verify", crate, MNIST_DIR="")
    published = torchcrate("publish", crate, "--to", tmp_path / "registry")

    assert judgement.returncode == 5
    assert "Error: onnx at " in judgement.stderr
    assert json.loads((crate / "parity.json").read_bytes())["failures"]
    assert not (crate / "SHA256SUMS").exists()
    assert published.returncode == 3
    assert "not sealed" in published.stderr
    assert not (tmp_path / "registry").exists()


def test_the_seal_holds_every_file_and_figure(sealed: Path) -> None:
    manifest = open_sealed(sealed)

    assert {path.name for path in sealed.iterdir()} - {"__pycache__"} == {
        *(file.name for file in manifest.files),
        "manifest.json",
        "SHA256SUMS",
    }
    assert {(entry.runtime, entry.way) for entry in manifest.parity} == {
        (runtime, way) for runtime in MNIST.tolerances for way in ("tensors", "images")
    }
    for entry in manifest.parity:
        assert entry.passed
        assert entry.maximum is not None
        assert entry.maximum <= entry.limit
        assert entry.way == "tensors" or entry.inputs == 10 + len(pictures())


def test_all_ten_thousand_test_images_agree_in_all_four_programs(
    sealed: Path, mnist_dir: Path, tmp_path: Path
) -> None:
    crate = Path(shutil.copytree(sealed, tmp_path / "crate"))

    report = judge(crate, unseal(crate).files, DIGITS, MNIST, BUILD, mnist.test_images(mnist_dir))

    assert not report.failures
    assert {entry.images for entry in report.runtimes if entry.way == "tensors"} == {10_000}
    assert all(entry.flips == 0 for entry in report.runtimes)


def test_other_threads_and_batches_stay_within_the_limit(crate: Path, libtorch: Path) -> None:
    """Where batch and threads are not the reference's, torch's own answers differ a little."""
    images = patterns(64, 57, 91)["strokes"]
    with torch.inference_mode():
        rows = [load(MNIST).module(torch.from_numpy(images[i : i + 1])) for i in range(64)]
    want = {str(i): {"log_probs": row.numpy()} for i, row in enumerate(rows)}
    write_inputs(crate / "asked", {"all": {"image": images}})
    python = ["run_eager.py", "run_torchscript.py", "run_onnx.py"]

    for program in programs(crate, python, libtorch):
        rows = program.answer(crate / "asked", crate)["all"]["log_probs"]
        got = {str(i): {"log_probs": rows[i : i + 1]} for i in range(64)}
        limit = MNIST.tolerances[program.runtime]
        assert compare(program.runtime, "images", limit, want, got, DIGITS)[1] == ()
    assert np.isfinite(rows).all()

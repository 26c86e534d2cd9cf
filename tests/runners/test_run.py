"""The front door: the best runtime that is installed, as seen from the model that it opens."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path

import numpy as np
import pytest

from torchcrate.errors import RunnerError

PACKAGES = Path(np.__file__).parents[1]

Open = Callable[..., str]


@pytest.fixture
def opens(sealed: Path, tmp_path: Path) -> Open:
    """Say which model the front door of a crate without models opens, or why it opens none."""

    def start(*options: str, without: Collection[str] = (), lost: Collection[str] = ()) -> str:
        packages = tmp_path / "packages"
        packages.mkdir()
        for entry in PACKAGES.iterdir():
            if entry.name not in without:
                (packages / entry.name).symlink_to(entry)
        crate = tmp_path / "crate"
        crate.mkdir()
        for program in sealed.glob("*.py"):
            if program.name not in lost:
                shutil.copy(program, crate)
        done = subprocess.run(  # -S: with no other packages than those
            [sys.executable, "-S", crate / "run_mnist.py", *options, "--selftest"],
            env={"PYTHONPATH": str(packages)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == RunnerError.exit_code
        line = done.stderr.removeprefix("Error: ").removeprefix(f"{crate}/").rstrip("\n")
        return line.removesuffix(" does not exist: --crate names the folder of a crate")

    return start


@pytest.mark.parametrize(
    ("without", "model"),
    [
        ([], "model.onnx"),
        (["torch"], "model.onnx"),
        (["onnxruntime"], "model.pt"),
        (
            ["onnxruntime", "torch"],
            "onnxruntime is not installed: pip install -r requirements-onnx.txt",
        ),
    ],
    ids=["all", "no torch", "no onnxruntime", "none"],
)
def test_the_best_runtime_that_is_installed_is_taken_and_the_lightest_is_asked_for(
    opens: Open, without: list[str], model: str
) -> None:
    assert opens(without=without) == model


@pytest.mark.parametrize(
    ("given", "model"),
    [(["--runtime", "eager"], "model.pth"), (["--runtime=torchscript"], "model.pt")],
)
def test_a_forced_runtime_is_taken_although_others_are_better(
    opens: Open, given: list[str], model: str
) -> None:
    assert opens(*given) == model


def test_a_forced_runtime_is_taken_although_it_is_not_installed(opens: Open) -> None:
    said = opens("--runtime", "onnx", without=["onnxruntime"])

    assert said == "onnxruntime is not installed: pip install -r requirements-onnx.txt"


@pytest.mark.parametrize(
    ("kept", "without", "said"),
    [
        ("eager", [], "model.pth"),
        (
            "onnx",
            ["onnxruntime"],
            "onnxruntime is not installed: pip install -r requirements-onnx.txt",
        ),
    ],
)
def test_a_crate_with_one_format_takes_that(
    opens: Open, kept: str, without: list[str], said: str
) -> None:
    lost = {f"run_{name}.py" for name in ("onnx", "torchscript", "eager")} - {f"run_{kept}.py"}

    assert opens(without=without, lost=lost) == said


def test_a_runtime_that_this_crate_lacks_cannot_be_forced(opens: Open) -> None:
    said = opens("--runtime", "eager", lost=["run_eager.py"])

    assert said == "run_eager.py is not here: pull the crate whole"

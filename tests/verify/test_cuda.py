"""A CUDA device: asked where there is one, on request refused where there is none."""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from torchcrate.errors import RunnerError
from torchcrate.model.digits import MNIST
from torchcrate.model.tolerance import tolerances
from torchcrate.release.crate import open_sealed
from torchcrate.verify.devices import devices
from torchcrate.verify.drive import programs
from torchcrate.verify.parity import allowed

Torchcrate = Callable[..., "CompletedProcess[str]"]
HERE = {"CUDA_VISIBLE_DEVICES": "0"}
NONE = "no CUDA device here: run it where there is one"


def test_without_a_device_a_program_is_asked_on_the_cpu_alone() -> None:
    assert devices("eager") == devices("onnx") == devices("eager", "cpu") == ("cpu",)


def test_on_request_each_program_is_asked_on_both_devices(sealed: Path, libtorch: Path) -> None:
    files = ("run_eager.py", "run_torchscript.py", "run_onnx.py")

    asked = programs(sealed, files, libtorch, partial(devices, wanted="cuda"))

    assert [program.name for program in asked[2:6]] == [
        "torchscript",
        "torchscript on cuda",
        "onnx",
        "onnx on cuda",
    ]
    for program in asked[1::2]:
        refused = rf"^{program.name} failed: .* finds no CUDA device here: leave --device out$"
        with pytest.raises(RunnerError, match=refused):
            program.answer(sealed / "golden.safetensors", sealed)


def test_on_a_device_each_runtime_may_be_as_far_off_as_the_one_that_is_allowed_most() -> None:
    limits = tolerances(MNIST, ())

    assert limits["cuda"] == max(MNIST.tolerances.values())
    assert allowed("eager", "tensors", limits, MNIST.exact, "cuda") == limits["cuda"]
    assert tolerances(MNIST.tolerating({"cuda": 0.5}), ())["cuda"] == 0.5


@pytest.mark.proof
def test_every_program_answers_alike_on_a_cuda_device(
    tmp_path: Path, drafted: Path, torchcrate: Torchcrate
) -> None:
    crate = tmp_path / "crate"
    shutil.copytree(drafted, crate)

    done = torchcrate("verify", crate, "--device", "cuda", **HERE)

    if "finds no CUDA device here" in done.stderr:
        pytest.xfail(NONE)
    assert done.returncode == 0, done.stderr
    print(f"\n{done.stdout}")
    found = {entry.runtime for entry in open_sealed(crate).parity}
    assert {f"{runtime} on cuda" for runtime in MNIST.tolerances} <= found


@pytest.mark.proof
@pytest.mark.parametrize(
    ("file", "exact", "rounded"),
    [
        ("torch_runtime.py", "allow_tf32 = False", "allow_tf32 = True"),
        ("run_onnx.py", '"use_tf32": "0"', '"use_tf32": "1"'),
        ("script_model.cpp", "setAllowTF32CuBLAS(false)", "setAllowTF32CuBLAS(true)"),
    ],
)
def test_what_a_card_rounds_of_itself_is_caught(
    tmp_path: Path, drafted: Path, torchcrate: Torchcrate, file: str, exact: str, rounded: str
) -> None:
    crate = tmp_path / "crate"
    shutil.copytree(drafted, crate)
    text = (crate / file).read_text()
    assert text.count(exact) == 1
    (crate / file).write_text(text.replace(exact, rounded))

    done = torchcrate("verify", crate, "--device", "cuda", **HERE)

    if "finds no CUDA device here" in done.stderr:
        pytest.xfail(NONE)
    said = [line for line in done.stderr.splitlines() if " on cuda" in line]
    print(f"\n{file}: {said[-1]}")
    assert done.returncode == 5

"""The doctor's command: one line a check, JSON, exit code 0 or 4, and nothing is written."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from torchcrate.export.doctor.examine import examine
from torchcrate.model.spec import ModelSpec

Run = Callable[..., "subprocess.CompletedProcess[str]"]

NET = """
import torch
from torch import nn
from torchcrate.model.spec import ModelSpec


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x)


class Noisy(Net):
    def forward(self, x):
        return self.head(x + torch.randn_like(x))


class Loop(Net):
    def forward(self, x, **options):
        n = int(x.shape[0])
        return self.head(x.reshape(n * 4).reshape(n, 4))


class Branch(Net):
    def forward(self, x, **options):
        if x.sum() > 0:
            return self.head(x)
        return self.head(-x)


SPEC = ModelSpec("net", Net, ("x:float32[batch,4]",))
"""


def place(code: str) -> str:
    """Return `net.py:LINE (CODE)` of the first line of the network that is `code`."""
    lines = [line.strip() for line in NET.splitlines()]
    return f"net.py:{lines.index(code) + 1} ({code})"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    return tmp_path


@pytest.fixture
def build(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModelSpec]:
    """Return the spec of a network of the file by its name."""
    import importlib.util
    import sys

    found = importlib.util.spec_from_file_location("doctored_net", folder / "net.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    monkeypatch.setitem(sys.modules, "doctored_net", module)
    found.loader.exec_module(module)
    return lambda name: ModelSpec("net", getattr(module, name), ("x:float32[batch,4]",))


def test_a_sound_network_has_no_fault_and_leaves_no_file(folder: Path, torchcrate: Run) -> None:
    before = {path.name for path in folder.iterdir()}

    done = torchcrate("doctor", "net:SPEC", cwd=folder, PYTHONDONTWRITEBYTECODE="1")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert all(one.startswith("ok ") for one in lines), done.stdout
    assert lines[-1].startswith("ok     onnx         by onnx holds: ")
    assert {path.name for path in folder.iterdir()} == before


def test_a_fault_is_said_as_json_and_by_the_exit_code_of_an_export(
    folder: Path, torchcrate: Run
) -> None:
    done = torchcrate(
        *("doctor", "net:Noisy", "--input", "x:float32[batch,4]", "--quick", "--json"), cwd=folder
    )

    assert done.returncode == 4
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert checks["random"]["state"] == "fault"
    assert (
        place("return self.head(x + torch.randn_like(x))").partition(" (")[0]
        in checks["random"]["where"]
    )
    assert checks["onnx"]["what"] == "not tried, --quick leaves it out"
    assert done.stderr == "Error: noisy: a fault in random, torchscript, see above\n"


def test_a_folder_is_still_a_pulled_crate(tmp_path: Path, torchcrate: Run) -> None:
    done = torchcrate("doctor", tmp_path / "nothing")

    assert done.returncode != 0
    assert "nothing is no crate" in done.stderr


def test_without_a_network_or_a_folder_it_says_what_to_name(
    tmp_path: Path, torchcrate: Run
) -> None:
    done = torchcrate("doctor", cwd=tmp_path)

    assert done.returncode == 2
    assert "package.module:SPEC" in done.stderr


def test_a_trace_bound_to_its_batch_is_named_with_size_and_line(
    build: Callable[[str], ModelSpec],
) -> None:
    found = examine(build("Loop"), quick=True)

    (check,) = [check for check in found.checks if check.name == "torchscript"]
    assert check.state == "fault"
    assert "batch is baked in, right at 3 only" in check.what
    assert place("n = int(x.shape[0])") in check.what


def test_a_frozen_decision_is_a_fault_though_no_case_shows_it(
    build: Callable[[str], ModelSpec],
) -> None:
    spec = build("Branch")

    found = examine(spec, quick=True)

    (check,) = [check for check in found.checks if check.name == "torchscript"]
    assert check.state == "fault"
    assert place("if x.sum() > 0:") in check.what


def test_all_that_torch_says_is_there_when_it_is_asked_for(
    build: Callable[[str], ModelSpec],
) -> None:
    found = examine(build("Loop"), quick=True, verbose=True)

    (check,) = [check for check in found.checks if check.name == "torchscript"]
    assert "--- script\n" in check.detail
    assert "Compiled functions can't take variable number of arguments" in check.detail


def test_weights_that_do_not_fit_are_a_fault_and_the_last_word(
    build: Callable[[str], ModelSpec], folder: Path
) -> None:
    torch.save({"head.weight": torch.zeros(3, 4)}, folder / "net.pth")
    spec = build("Net")
    spec = ModelSpec("net", spec.build, spec.inputs, checkpoint=folder / "net.pth")

    found = examine(spec)

    assert found.faults == ("weights",)
    assert "head.bias is missing" in found.checks[-1].what

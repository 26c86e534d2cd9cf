"""A network whose weights no ONNX file can hold goes the whole road, in little more memory."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from peak import peaks

from torchcrate.release.manifest import MANIFEST, Manifest
from torchcrate.table import table

MOST = 3.0  # times the weights, in any one process

# What somebody has in a repository: the network, a checkpoint and a spec.
LINEAR = """
import torch
from torch import nn
from torchcrate.model.spec import ModelSpec, tensor


class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(8192, 8192) for _ in range(9)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


SPEC = ModelSpec("big", "big:Wide", (tensor("x:float32[batch,8192]"),), checkpoint=CHECKPOINT)
"""
REGNET = """
import numpy as np
from torchcrate.model.operators import declare_missing_operators
from torchcrate.model.spec import ModelSpec, tensor

declare_missing_operators()
from torchvision.models import regnet_y_128gf


def network():
    return regnet_y_128gf()


def samples():
    chance = np.random.default_rng(1)
    low = {"two": (2, 3, 4, 4), "wide": (1, 3, 3, 6)}
    coarse = {case: chance.standard_normal(size).astype(np.float32) for case, size in low.items()}
    return {case: {"image": np.kron(c, np.ones((16, 16), "f4"))} for case, c in coarse.items()}


SPEC = ModelSpec(
    "big", "big:network", (tensor("image:float32[batch,3,height,width]"),),
    sizes={"height": "32..", "width": "32.."}, samples=samples, checkpoint=CHECKPOINT,
)
"""
SAVE = """
import sys, torch, safetensors.torch
from pathlib import Path
from torchcrate.model.weights import build
from big import SPEC

state = build(SPEC).state_dict()
save = safetensors.torch.save_file if sys.argv[1].endswith(".safetensors") else torch.save
save(state, sys.argv[1])
"""


@pytest.mark.proof
@pytest.mark.parametrize(
    ("network", "checkpoint"),
    [(LINEAR, "big.safetensors"), (REGNET, "big.pth")],
    ids=["linear layers", "regnet_y_128gf"],
)
def test_a_network_beyond_2_gb_goes_the_whole_road(
    tmp_path: Path, network: str, checkpoint: str, request: pytest.FixtureRequest
) -> None:
    def write() -> None:
        code = network.replace("CHECKPOINT", f"Path({checkpoint!r})")
        (tmp_path / "big.py").write_text(f"from pathlib import Path\n{code}")

    rows: list[tuple[str, ...]] = []
    write()
    crate, shelf, out = (tmp_path / name for name in ("crate", "shelf", "out"))
    shelf.mkdir()
    try:
        _go(tmp_path, [], 1, "save", sys.executable, "-c", SAVE, checkpoint)
        weights = (tmp_path / checkpoint).stat().st_size
        assert weights > 2 * 2**30

        go = _road(tmp_path, rows, weights)
        go("export", "big:SPEC", "--out", crate, "--version", "1.0.0")
        (tmp_path / checkpoint).unlink()
        go("verify", crate, "--spec", "big:SPEC", "--build-dir", tmp_path / "cpp")
        go("publish", crate, "--to", shelf)
        shutil.rmtree(crate)
        for only in ((), ("--only", "onnx")):
            how = ("--out", out, "--no-cache", "--selftest", *only)
            go("pull", "big@1.0.0", "--from", shelf, *how)
        manifest = Manifest.parse((out / MANIFEST).read_bytes())
        (side,) = (file for file in manifest.files if file.role == "weights")
    finally:
        for left in (crate, shelf, out, tmp_path / checkpoint):
            shutil.rmtree(left, ignore_errors=True)
            left.unlink(missing_ok=True)  # pytest keeps what tests leave

    assert (side.name, side.size > 2 * 2**30) == ("model.onnx.data", True)
    assert {entry.runtime for entry in manifest.parity if entry.passed} == {
        *("eager", "torchscript", "onnx", "libtorch")
    }
    head = ("command", "step", "process", "times the weights")
    name = request.node.callspec.id
    print(f"\n{name}, {weights / 1e9:.2f} GB\n{table([head, *rows])}")
    assert max(float(row[3]) for row in rows) <= MOST


def _road(cwd: Path, rows: list[tuple[str, ...]], weights: int) -> Callable[..., None]:
    program = Path(sys.executable).with_name("torchcrate")

    def go(command: str, *arguments: str | Path) -> None:
        _go(cwd, rows, weights, command, program, command, *arguments)

    return go


def _go(
    cwd: Path, rows: list[tuple[str, ...]], weights: int, name: str, *command: str | Path
) -> None:
    """Run a command, and add a row for each step of it and each process in that."""
    done = peaks(*command, cwd=cwd)
    assert done.status == 0, done.said
    for (step, process), held in done.steps.items():
        if held > weights / 10 and process != "cc1plus":
            said = step.removeprefix(f"{name}: ") or "begins"
            rows.append((name, said, process, f"{held / weights:.2f}"))
    rows.append((name, "in all", "largest", f"{done.largest / weights:.2f}"))

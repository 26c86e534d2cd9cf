"""Crates of small networks, written file by file, by no exporter."""

import json
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper

ROOT = Path(__file__).resolve().parents[1]

NETWORKS = '''
"""Networks of every kind; imports its sibling."""

import torch
from torch import nn
from toys.parts import Found

class Tagger(nn.Module):
    def __init__(self, words: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(words))

    def forward(self, tokens, mask=None):
        kept = torch.ones_like(tokens, dtype=torch.bool) if mask is None else mask
        scores = (tokens * kept).unsqueeze(-1) * self.scale
        return Found(scores.to(self.scale.dtype), [kept, tokens.sum()])

class Picked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.arange(10.0))

    def forward(self, tokens, level):
        return self.words[tokens] * level

class Mean(nn.Module):
    def forward(self, image):
        return {"mean": image.to(torch.float32).mean((2, 3)), "large": image > 99}
'''
PARTS = """
from dataclasses import dataclass
from typing import Any

@dataclass
class Found:
    scores: Any
    rest: Any
"""


def tensor(name: str, dtype: str, axes: list[int | str], meaning: str = "", **more: Any) -> Any:
    """Return an input or output of a contract."""
    return {"name": name, "dtype": dtype, "axes": axes, "meaning": meaning, **more}


def contract(inputs: list[Any], outputs: list[Any], labels: Any = (), **more: Any) -> str:
    """Return a contract as a model carries it."""
    return json.dumps({"inputs": inputs, "outputs": outputs, "labels": list(labels), **more})


VECTOR = contract([tensor("x", "float32", ["n"])], [tensor("y", "float32", ["n"])])
TAGGER = contract(
    [
        tensor("tokens", "int64", ["batch", "time"], "tokens"),
        tensor("mask", "bool", ["batch", "time"], "mask", optional=True),
    ],
    [
        tensor("scores", "float32", ["batch", "time", 2], "logits"),
        tensor("kept", "bool", ["batch", "time"]),
        tensor("total", "int64", []),
    ],
    labels=["noun", "verb"],
    sizes={"batch": {"minimum": 0, "maximum": 3}, "time": {"minimum": 1, "maximum": None}},
)


def with_programs(crate: Path) -> Path:
    """Put the Python programs into a folder, new or not."""
    crate.mkdir(exist_ok=True)
    for path in [*(ROOT / "runners").glob("*.py"), ROOT / "model" / "calling.py"]:
        shutil.copy(path, crate)
    return crate


def eager(crate: Path, said: str, network: str, state: dict[str, Any], **arguments: Any) -> Path:
    """Write model.pth, whose modules lie flat beside it; `network` is one of NETWORKS."""
    with_programs(crate)
    (crate / "toys.__init__.py").touch()
    (crate / "toys.networks.py").write_text(NETWORKS)
    (crate / "toys.parts.py").write_text(PARTS)
    torch.save(state, crate / "model.pth")
    described = {
        "network": f"toys.networks:{network}",
        "arguments": arguments,
        "preprocess": None,
    }
    with zipfile.ZipFile(crate / "model.pth", "a") as archive:
        archive.writestr("model/extra/contract.json", said)
        archive.writestr("model/extra/network.json", json.dumps(described))
    return crate


def script(crate: Path, said: str, forward: str) -> Path:
    """Write model.pt with one `forward`, given as TorchScript."""
    module = type(crate.name, (torch.jit.ScriptModule,), {})()  # each has its own `forward`
    module.define(f"{forward}\n")
    return scripted(crate, said, module)


def scripted(crate: Path, said: str, module: torch.nn.Module) -> Path:
    """Write model.pt with a module, compiled."""
    with_programs(crate)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.", DeprecationWarning)
        compiled = torch.jit.script(module.eval())
        torch.jit.save(compiled, crate / "model.pt", _extra_files={"contract.json": said})
    return crate


def graph(
    crate: Path, said: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], **weights: Any
) -> Path:
    """Write model.onnx."""
    with_programs(crate)
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "toy", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    helper.set_model_props(made, {"contract": said})
    onnx.save(made, crate / "model.onnx")
    return crate

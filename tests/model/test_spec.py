"""A description is held to its own rules before anything is built from it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from torchcrate.errors import UsageError
from torchcrate.model.contract import Sizes, TensorSpec
from torchcrate.model.digits import MNIST
from torchcrate.model.spec import ModelSpec

X = "x:float32[batch,time]"


def spec(**changes: Any) -> ModelSpec:
    return ModelSpec(**{"name": "net", "build": "pkg:Net", "inputs": (X,), **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"inputs": ()}, "net has no inputs: describe them as NAME:DTYPE[AXIS,...]"),
        ({"inputs": ("x",)}, "'x' is no tensor"),
        ({"outputs": ("y:int[n]",)}, "y cannot be int"),
        ({"inputs": (X, "x:int8[]")}, "net names x twice"),
        ({"outputs": ("x:int8[batch]",)}, "net names x twice: give each tensor its own name"),
        ({"outputs": ("y?:int8[batch]",)}, "output y of net cannot be optional"),
        ({"outputs": ("error:int8[batch]",)}, "output error of net cannot have this name"),
        ({"outputs": ("y:int8[]", "label:int8[]")}, "add in JSON (path, label, error): choose"),
        ({"outputs": ("path:int8[]",)}, "output path of net cannot have this name"),
        ({"tolerances": {"tvm": 1e-3}}, "tolerances of net names 'tvm', which is none of eager"),
        ({"tolerances": {"cpp": 1e-3}}, "'cpp'"),
        ({"exact": ("torch",)}, "exact of net names 'torch'"),
        ({"formats": ("onnx", "tflite")}, "formats of net names 'tflite', which is none of eager"),
        ({"formats": ("libtorch",)}, "'libtorch'"),
        ({"tolerances": {"onnx": -1.0}}, "tolerance of net for onnx is no number from 0 on"),
        ({"tolerances": {"onnx": float("nan")}}, "tolerance of net for onnx"),
        ({"budget": {"latency": -1.0}}, "budget of net for latency is no number above 0"),
        (
            {"program": "../../evil.py"},
            "program of net is '../../evil.py': give the name of a file",
        ),
        ({"program": "model.pt"}, "program of net is 'model.pt'"),
        ({"sizes": {"tiem": "1..8"}}, "sizes of net names 'tiem', which is no axis of it"),
        ({"sizes": {"time": "5"}}, "'5' is no range of sizes"),
        ({"sizes": {"time": "5..5"}}, "axis time of net cannot be 5..5"),
        ({"sizes": {"time": "5..1"}}, "a free axis has at least two sizes"),
        ({"sizes": {"time": Sizes(-1)}}, "axis time of net cannot be -1.."),
        ({"inputs": (X, "z:int8[]"), "preprocess": "pkg:P"}, "takes one input, there are 2"),
        ({"inputs": ("x:uint8[n] in -1..255",)}, "x of net cannot hold 'x:uint8[n] in -1..255'"),
        ({"inputs": ("x:int8[n] in 0..128",)}, "within what int8 can be"),
        ({"inputs": ("x:float32[n] in 1..0",)}, "x of net cannot hold"),
        ({"inputs": ("x:float32[n] in 0..1e300",)}, "within what float32 can be"),
        ({"inputs": ("x:float16[n] in 0..65505",)}, "within what float16 can be"),
        ({"inputs": ("x:bool[n] in 0..5",)}, "within what bool can be"),
        ({"outputs": (TensorSpec("y", "float32", (), 0, float("inf")),)}, "leave an open end away"),
        ({"outputs": (TensorSpec("y", "float32", (), float("nan")),)}, "y of net cannot hold"),
    ],
)
def test_each_rule_is_held_in_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        spec(**changes)

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"inputs": ("x:int8[n] in -128..127", "y:uint8[n] in 0..255", "z:bool[] in 0..1")},
        {"inputs": ("x:float16[n] in 0..65504", "y:float32[n] in 0..3.4028234663852886e38")},
        {"inputs": ("x:int64[n] in 0..999",), "sizes": {"n": "0..1"}},
        {"inputs": (TensorSpec("x", "float16", ("n",)),), "sizes": {"n": Sizes(0)}},
        {"formats": ("eager", "torchscript", "onnx", "cpp"), "exact": ("libtorch",)},
        {"tolerances": {"eager": 0.0, "torchscript": 1.0, "libtorch": 1e-9, "onnx": 1e-3}},
        {"preprocess": "pkg:P"},
    ],
)
def test_what_keeps_the_rules_is_taken(changes: dict[str, Any]) -> None:
    assert spec(**changes).name == "net"


def test_texts_become_the_contract() -> None:
    found = spec(
        inputs=(X, TensorSpec("n", "int64", ())),
        outputs=("y:float32[batch,2] as logits",),
        labels=["no", "yes"],
        sizes={"time": "3..9", "batch": Sizes(0)},
    ).contract

    assert [given.name for given in found.inputs] == ["x", "n"]
    assert found.outputs[0].meaning == "logits"
    assert found.labels == ("no", "yes")
    assert found.sizes == {"time": Sizes(3, 9), "batch": Sizes(0)}


def test_describing_a_network_needs_no_torch(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    code = (
        "from torchcrate.model.spec import ModelSpec\n"
        "print(ModelSpec('net', 'pkg:Net', ('x:int8[n]',)).contract.free)"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.stdout == "('n',)\n", done.stderr


def test_other_tolerances_replace_those_that_are_named_and_no_others():
    changed = MNIST.tolerating({"onnx": 0.5})

    assert changed.tolerances == {**MNIST.tolerances, "onnx": 0.5}
    assert MNIST.tolerances["onnx"] == 2e-5


def test_a_tolerance_of_no_runtime_is_refused():
    with pytest.raises(UsageError, match=r"names 'tpu', which is none of eager, "):
        MNIST.tolerating({"tpu": 1.0})

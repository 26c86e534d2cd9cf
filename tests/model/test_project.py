"""A network in pyproject.toml: the keys of ModelSpec with texts, nothing else."""

from pathlib import Path

import pytest

from torchcrate.errors import UsageError
from torchcrate.model.contract import Sizes
from torchcrate.model.project import spec_here

LEAST = 'name = "net"\nbuild = "pkg:Net"\ninputs = ["x:float32[batch,time]"]\n'
WHOLE = """
name = "net"
build = "pkg.net:Net"
inputs = ["x:float32[batch,time]"]
outputs = ["y:float32[batch,2] as logits"]
labels = ["no", "yes"]
sizes = { time = "1..512" }
checkpoint = "weights/net.pth"
key = "model"
arguments = { width = 8, deep = { names = ["a"] } }
preprocess = "pkg.pre:Scale"
tolerances = { onnx = 1e-4, eager = 0 }
exact = ["torchscript"]
samples = "pkg.data:samples"
golden = "pkg.data:golden"
data = "pkg.data:more"
formats = ["onnx"]
program = "run_net.py"
budget = { latency = 1.5 }
"""


def written(folder: Path, table: str) -> Path:
    (folder / "pyproject.toml").write_text(f"[tool.torchcrate]\n{table}")
    return folder


def test_every_key_arrives(tmp_path: Path) -> None:
    spec = spec_here(written(tmp_path, WHOLE))

    assert spec is not None
    assert spec.checkpoint == tmp_path / "weights/net.pth"
    assert spec.contract.sizes == {"time": Sizes(1, 512)}
    assert spec.contract.outputs[0].meaning == "logits"
    assert spec.labels == ("no", "yes")
    assert spec.arguments == {"width": 8, "deep": {"names": ["a"]}}
    assert spec.tolerances == {"onnx": 1e-4, "eager": 0.0}
    assert (spec.exact, spec.formats) == (("torchscript",), ("onnx",))
    assert (spec.samples, spec.golden, spec.data) == (
        *("pkg.data:samples", "pkg.data:golden", "pkg.data:more"),
    )
    assert (spec.key, spec.preprocess, spec.program) == ("model", "pkg.pre:Scale", "run_net.py")
    assert spec.budget == {"latency": 1.5}


def test_three_keys_are_enough(tmp_path: Path) -> None:
    spec = spec_here(written(tmp_path, LEAST))

    assert spec is not None
    assert (spec.name, spec.checkpoint, spec.formats) == ("net", None, ())


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "missing required field `name`"),
        ('name = "net"\n', "missing required field `build`"),
        ('name = "net"\nbuild = "pkg:Net"\n', "missing required field `inputs`"),
        (f'{LEAST}input = "x"\n', "unknown field `input`"),
        (f"{LEAST}[tool.torchcrate.extra]\n", "unknown field `extra`"),
        (LEAST.replace('"net"', "7"), "Expected `str`, got `int` - at `$.name`"),
        (LEAST.replace('["x:float32[batch,time]"]', '"x:float32[batch]"'), "at `$.inputs`"),
        (LEAST.replace('["x:float32[batch,time]"]', "[7]"), "at `$.inputs[0]`"),
        (f'{LEAST}labels = "yes"\n', "Expected `array`, got `str` - at `$.labels`"),
        (f"{LEAST}sizes = {{ time = 5 }}\n", "Expected `str`, got `int` - at `$.sizes[...]`"),
        (f"{LEAST}checkpoint = true\n", "at `$.checkpoint`"),
        (f'{LEAST}tolerances = {{ onnx = "1e-4" }}\n', "at `$.tolerances[...]`"),
        (f"{LEAST}arguments = []\n", "at `$.arguments`"),
        # What ModelSpec itself refuses.
        (f'{LEAST}sizes = {{ time = "5" }}\n', "'5' is no range of sizes"),
        (f'{LEAST}formats = ["tflite"]\n', "formats of net names 'tflite'"),
        (LEAST.replace("time]", "time"), "is no tensor"),
        (LEAST.replace('["x:float32[batch,time]"]', "[]"), "net has no inputs"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(tmp_path: Path, table: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        spec_here(written(tmp_path, table))

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text", ["", "tool = 7\n", "[project]\nname = 'x'\n", "[tool.ruff]\nline-length = 100\n"]
)
def test_a_project_without_the_table_describes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)

    assert spec_here(tmp_path) is None


def test_a_folder_without_a_project_describes_nothing(tmp_path: Path) -> None:
    assert spec_here(tmp_path) is None


@pytest.mark.parametrize("data", [b"[tool", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_what_is_no_toml_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "pyproject.toml").write_bytes(data)

    with pytest.raises(UsageError, match=r"pyproject\.toml is no TOML: "):
        spec_here(tmp_path)


@pytest.mark.parametrize("text", ["[tool]\ntorchcrate = 7\n", "[[tool.torchcrate]]\n"])
def test_a_table_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)

    with pytest.raises(UsageError, match=r"pyproject\.toml"):
        spec_here(tmp_path)

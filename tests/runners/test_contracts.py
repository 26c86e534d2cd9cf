"""Any contract: the Python programs on small networks of every kind, in crates made by hand."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import preloaded
import pytest
import safetensors.numpy
import torch
from onnx import TensorProto, helper
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

with pytest.MonkeyPatch.context() as patch:  # siblings, as a crate has them
    patch.syspath_prepend(ROOT / "runners")
    import contract as contracts
    import runtime
    import vectors

DONE = subprocess.CompletedProcess[str]

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


def tensor(name: str, dtype: str, axes: list[int | str], meaning: str = "", **more: Any) -> Any:
    return {"name": name, "dtype": dtype, "axes": axes, "meaning": meaning, **more}


def contract(inputs: list[Any], outputs: list[Any], labels: Any = (), **more: Any) -> str:
    return json.dumps({"inputs": inputs, "outputs": outputs, "labels": list(labels), **more})


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
MEAN = contract(
    [tensor("image", "uint8", ["batch", 3, 2, "width"], "image")],
    [tensor("mean", "float32", ["batch", 3]), tensor("large", "bool", ["batch", 3, 2, "width"])],
)


PICKED = contract(
    [
        tensor("tokens", "int64", ["n"], minimum=0.0, maximum=9.0),
        tensor("level", "float32", ["n"], minimum=0.0, maximum=0.1),
    ],
    [tensor("picked", "float32", ["n"])],
    sizes={"n": {"minimum": 0}},
)


def with_programs(crate: Path) -> Path:
    for path in [*(ROOT / "runners").glob("*.py"), ROOT / "model" / "calling.py"]:
        shutil.copy(path, crate)
    return crate


def eager(crate: Path, said: str, network: str, state: dict[str, Any], **arguments: Any) -> Path:
    """A crate of model.pth whose modules lie flat beside it."""
    crate.mkdir()
    (crate / "toys.__init__.py").touch()
    (crate / "toys.networks.py").write_text(NETWORKS)
    (crate / "toys.parts.py").write_text(
        "from dataclasses import dataclass\nfrom typing import Any\n\n"
        "@dataclass\nclass Found:\n    scores: Any\n    rest: Any\n"
    )
    torch.save(state, crate / "model.pth")
    described = {"network": network, "arguments": arguments, "preprocess": None}
    with zipfile.ZipFile(crate / "model.pth", "a") as archive:
        archive.writestr("model/extra/contract.json", said)
        archive.writestr("model/extra/network.json", json.dumps(described))
    return with_programs(crate)


def script(crate: Path, said: str, source: str) -> Path:
    """A crate of model.pt with one `forward`, given as TorchScript."""
    crate.mkdir()
    module = type(crate.name, (torch.jit.ScriptModule,), {})()  # each has its own `forward`
    module.define(source)
    torch.jit.save(module, crate / "model.pt", _extra_files={"contract.json": said})
    return with_programs(crate)


def graph(
    crate: Path, said: str, nodes: list[Any], inputs: list[Any], outputs: list[Any], **weights: Any
) -> Path:
    """A crate of model.onnx."""
    crate.mkdir()
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    made = helper.make_model(
        helper.make_graph(nodes, "toy", inputs, outputs, constants),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    helper.set_model_props(made, {"contract": said})
    onnx.save(made, crate / "model.onnx")
    return with_programs(crate)


@pytest.fixture(scope="module")
def crates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("crates")
    state = {"scale": torch.tensor([1.0, 2.0])}
    tagger = """
def forward(self, tokens, mask: Optional[Tensor]) -> Tuple[Tensor, Tensor, Tensor]:
    kept = torch.ones_like(tokens, dtype=torch.bool)
    if mask is not None:
        kept = mask
    scores = (tokens * kept).unsqueeze(-1) * torch.tensor([1.0, 2.0])
    return scores, kept, tokens.sum()
"""
    return {
        "eager": eager(folder / "a", TAGGER, "toys.networks:Tagger", state, words=2),
        "torchscript": script(folder / "b", TAGGER, tagger),
        "mean": eager(folder / "c", MEAN, "toys.networks:Mean", {}),
        **picked(folder),
    }


def picked(folder: Path) -> dict[str, Path]:
    """One network in every format: words by their number, each by its level."""
    words = torch.arange(10.0)
    numbers = "[" + ", ".join(map(str, words.tolist())) + "]"
    source = f"""
def forward(self, tokens: Tensor, level: Tensor) -> Tensor:
    return torch.tensor({numbers})[tokens] * level
"""
    nodes = [
        helper.make_node("Gather", ["words", "tokens"], ["found"]),
        helper.make_node("Mul", ["found", "level"], ["picked"]),
    ]
    value = helper.make_tensor_value_info
    given = [value("tokens", TensorProto.INT64, ["n"]), value("level", TensorProto.FLOAT, ["n"])]
    answers = [value("picked", TensorProto.FLOAT, ["n"])]
    return {
        "picked eager": eager(folder / "d", PICKED, "toys.networks:Picked", {"words": words}),
        "picked torchscript": script(folder / "e", PICKED, source),
        "picked onnx": graph(folder / "f", PICKED, nodes, given, answers, words=words.numpy()),
    }


def run(crate: Path, runtime: str, *options: object, stdin: str = "") -> DONE:
    return preloaded.run(crate / f"run_{runtime}.py", *options, stdin=stdin)


pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")

BOTH = pytest.mark.parametrize("runtime", ["eager", "torchscript"])


@BOTH
def test_each_line_of_json_is_answered_on_its_own(crates: dict[str, Path], runtime: str) -> None:
    lines = {
        '{"tokens": [[1, 2]]}': {
            "scores": [[[1.0, 2.0], [2.0, 4.0]]],
            "kept": [[True, True]],
            "total": 3,
        },
        '{"tokens": [[1, 2]], "mask": [[true, false]]}': {
            "scores": [[[1.0, 2.0], [0.0, 0.0]]],
            "kept": [[True, False]],
            "total": 3,
        },
        '{"tokens": [[5]], "mask": null}': {
            "scores": [[[5.0, 10.0]]],
            "kept": [[True]],
            "total": 5,
        },
        '{"tokens": []}': {"scores": [], "kept": [], "total": 0},
        "": "not an object of JSON",
        "[1]": "not an object of JSON",
        '{"tokens": [[NaN]]}': "not an object of JSON",
        '{"mask": [[true]]}': "tensor tokens is missing",
        '{"words": [[1]]}': "words is no input, the contract has tokens, mask",
        '{"tokens": [[1], [2, 3]]}': "tokens is no regular list of numbers",
        '{"tokens": [[1, [2]]]}': "tokens is no regular list of numbers",
        '{"tokens": [[1.5]]}': "tokens holds a value that is no int64",
        '{"tokens": [[true]]}': "tokens holds a value that is no int64",
        '{"tokens": [[9223372036854775808]]}': "tokens holds a number beyond int64",
        '{"tokens": [1]}': "tokens is int64(1), the contract has int64(batch, time)",
        '{"tokens": [[], []]}': "tokens has time 0, the contract has 1 or more",
        '{"tokens": [[1], [1], [1], [1]]}': "tokens has batch 4, the contract has 0 to 3",
        '{"tokens": [[1, 2]], "mask": [[true]]}': "mask has time 1, tokens has 2",
    }

    done = run(crates[runtime], runtime, "--json", stdin="\n".join(lines) + "\n")

    said = [json.loads(line) for line in done.stdout.splitlines()]
    want = [
        {"error": f"line {number}: {one}"} if isinstance(one, str) else one
        for number, one in enumerate(lines.values(), 1)
    ]
    assert said == want
    assert done.stderr == "".join(f"Error: {one['error']}\n" for one in said if "error" in one)
    assert done.returncode == 1


def test_a_line_is_answered_before_the_next_one_is_read(crates: dict[str, Path]) -> None:
    command = [sys.executable, crates["torchscript"] / "run_torchscript.py", "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdin
        assert one.stdout
        for number in (1, 2):
            one.stdin.write(f'{{"tokens": [[{number}]]}}\n')
            one.stdin.flush()
            assert json.loads(one.stdout.readline())["total"] == number
        one.stdin.close()
    assert one.returncode == 0


@BOTH
def test_tensors_may_lack_what_is_optional_and_be_empty(
    crates: dict[str, Path], runtime: str, tmp_path: Path
) -> None:
    asked = {
        "a.tokens": np.array([[1, 2]]),
        "b.tokens": np.array([[1, 2]]),
        "b.mask": np.array([[False, True]]),
        "tokens": np.zeros((0, 4), np.int64),
    }
    safetensors.numpy.save_file(asked, tmp_path / "in")

    done = run(crates[runtime], runtime, "--tensors", tmp_path / "in", "--out", tmp_path / "out")

    got = safetensors.numpy.load_file(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert got["a.total"].shape == ()
    assert got["a.kept"].tolist() == [[True, True]]
    assert got["b.scores"].tolist() == [[[0, 0], [2, 4]]]
    assert got["scores"].shape == (0, 4, 2)


def replay(text: str, run: Any, golden: dict[str, Any], limit: float, folder: Path) -> str:
    """Return what the selftest says of a model that is `run`."""
    file = folder / "golden.safetensors"
    safetensors.numpy.save_file(golden, file, {"limits": json.dumps({"toy": limit})})
    model = runtime.Model(contracts.parse_contract(text), run)
    try:
        return str(vectors.selftest("toy", model, file))
    except runtime.RunError as error:
        return str(error)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (None, None, "passed: 1 vectors, worst 0.0e+00 at a, limit 1.0e-05"),
        ("scores", [[[1, 2.0001], [2, 4]]], "failed: 1 vectors, worst 3.3e-05 at a"),
        ("scores", [[[2, 1], [2, 4]]], "limit 1.0e-05, 1 labels flipped"),
        ("kept", [[True, False]], "worst 1.0e+00 at a"),
        ("total", 4, "worst 2.0e-01 at a"),
    ],
    ids=["sound", "a number", "a label", "a bool", "a whole number"],
)
def test_the_selftest_judges_every_output_and_labels_of_any_rank(
    tmp_path: Path, key: str | None, value: Any, said: str
) -> None:
    golden: dict[str, Any] = {
        "a.tokens": np.array([[1, 2]]),
        "a.scores": np.array([[[1, 2], [2, 4]]], np.float32),
        "a.kept": np.array([[True, True]]),
        "a.total": np.array(3),
    }
    answers = [golden["a.scores"], golden["a.kept"], golden["a.total"]]
    if key:
        golden[f"a.{key}"] = np.array(value, golden[f"a.{key}"].dtype)

    assert said in replay(TAGGER, lambda given: answers, golden, 1e-5, tmp_path)


def test_numbers_of_16_bits_and_infinities_are_compared_as_they_are(tmp_path: Path) -> None:
    sides = [tensor("x", "float16", ["n"])], [tensor("y", "float16", ["n"])]
    said = contract(*sides, labels=[], sizes={"n": {"minimum": 0}})
    x = np.array([-np.inf, 60000, -60000, np.inf], np.float16)
    golden = {"x": x, "y": x.copy(), "empty.x": x[:0], "empty.y": x[:0]}

    right = replay(said, lambda given: given, golden, 0.0, tmp_path)
    golden["y"][2] = 60000  # whose difference is beyond 16 bits
    wrong = replay(said, lambda given: given, golden, 3.0, tmp_path)
    golden["y"][3] = -np.inf
    worse = replay(said, lambda given: given, golden, 3.0, tmp_path)

    assert right.startswith("selftest passed: 2 vectors, worst 0.0e+00")
    assert wrong.startswith("selftest passed: 2 vectors, worst 2.0e+00")
    assert worse.startswith("selftest failed: 2 vectors, worst nan")


def test_values_out_of_their_range_are_refused_alike_by_every_program(
    crates: dict[str, Path], libtorch: Path, tmp_path: Path
) -> None:
    more = float(np.nextafter(np.float32(0.1), np.float32(1)))
    lines = {
        '{"tokens": [1, 9, 0], "level": [0, 0.1, 0.05]}': None,
        '{"tokens": [], "level": []}': None,
        '{"tokens": [1, -1], "level": [0, 0]}': "tokens holds -1, the contract has 0 to 9",
        '{"tokens": [3, 10], "level": [9, 0]}': "tokens holds 10, the contract has 0 to 9",
        '{"tokens": [-1, 10], "level": [0, 0]}': "tokens holds -1, the contract has 0 to 9",
        '{"tokens": [-1], "level": [0, 0]}': "level has n 2, tokens has 1",
        f'{{"tokens": [1], "level": [{more}]}}': f"level holds {more}, the contract has 0 to 0.1",
        '{"tokens": [1], "level": [-0.5]}': "level holds -0.5, the contract has 0 to 0.1",
        '{"tokens": [1], "level": [1e30]}': "level holds 1.0000000150474662e+30, "
        "the contract has 0 to 0.1",
    }
    level = np.array([0.05, np.nan], np.float32)
    safetensors.numpy.save_file({"tokens": np.array([1, 2]), "level": level}, tmp_path / "in")
    said = []

    for runtime in ("eager", "torchscript", "onnx", "libtorch"):
        crate = crates[f"picked {runtime.replace('libtorch', 'torchscript')}"]

        def ask(
            *options: object, stdin: str = "", crate: Path = crate, runtime: str = runtime
        ) -> DONE:
            if runtime != "libtorch":
                return run(crate, runtime, *options, stdin=stdin)
            command = [libtorch, "--crate", crate, *options]
            return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)

        done = ask("--json", stdin="\n".join(lines))
        wrong = ask("--tensors", tmp_path / "in", "--out", tmp_path / "out")
        said.append((done.stdout, done.stderr, done.returncode, wrong.stderr, wrong.returncode))

    answers, refusals, *rest = said[0]
    want = [f"line {n}: {line}" for n, line in enumerate(lines.values(), 1) if line]
    assert [json.loads(one).get("error") for one in answers.splitlines()] == [None, None, *want]
    assert refusals == "".join(f"Error: {line}\n" for line in want)
    assert rest == [1, "Error: level holds nan, the contract has 0 to 0.1\n", 3]
    assert all(one == said[0] for one in said)


@pytest.mark.parametrize(
    ("dtype", "minimum", "maximum", "words"),
    [
        ("uint8", 0.0, 255.0, None),
        ("int8", -128.0, None, None),
        ("int64", None, 2.0**63, None),
        ("bool", 0, 1, None),
        ("float32", None, None, None),
        ("uint8", 0.0, 254.0, "0 to 254"),
        ("int64", None, 9, "9 or less"),
        ("float32", 1e-5, None, "1e-05 or more"),
        ("float16", 0.1, 0.1, "0.1"),
        ("bool", 1, 1, "1"),
    ],
)
def test_only_a_range_that_the_dtype_does_not_ensure_is_held_against_values(
    dtype: str, minimum: float | None, maximum: float | None, words: str | None
) -> None:
    given = tensor("x", dtype, [], minimum=minimum, maximum=maximum, optional=True)
    found = contracts.parse_contract(contract([given], [tensor("y", "bool", [])]))

    bounds = found.inputs[0].bounds

    assert (bounds and bounds.words) == words
    assert found.check_inputs([None]) == {}
    end = minimum if maximum is None else maximum
    if end is not None and end < 2**63:
        assert found.check_inputs([np.array(end, dtype)]) == {}


def images(folder: Path) -> None:
    for name, shape in (("a", (2, 4, 3)), ("b", (2, 5, 3)), ("c", (3, 4, 3)), ("d", (2, 4))):
        values = np.arange(np.prod(shape)).reshape(shape) * 5
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{name}.png")


def test_colour_images_of_fixed_height_are_read(crates: dict[str, Path], tmp_path: Path) -> None:
    images(tmp_path)

    done = run(crates["mean"], "eager", "--json", "--image", f"{tmp_path}/*.png")

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(row["path"]).name for row in rows] == ["a.png", "b.png", "c.png", "d.png"]
    assert set(rows[0]) == {"path", "mean", "large"}
    assert rows[0]["mean"] == [52.5, 57.5, 62.5]
    assert np.array(rows[1]["large"]).shape == (3, 2, 5)
    refusal = f"{tmp_path}/c.png: height 3, the contract has 2"
    assert rows[2] == {"path": f"{tmp_path}/c.png", "error": refusal}
    assert rows[3]["mean"] == [17.5] * 3
    assert done.stderr == f"Error: {refusal}\n"
    assert done.returncode == 1


def test_people_are_told_few_numbers_and_the_shape_of_many(
    crates: dict[str, Path], tmp_path: Path
) -> None:
    images(tmp_path)

    done = run(crates["mean"], "eager", "--image", f"{tmp_path}/a.png")

    assert done.stdout == f"mean [52.5, 57.5, 62.5], large bool(3, 2, 4)  {tmp_path}/a.png\n"


def test_a_model_that_reads_no_images_says_so(crates: dict[str, Path]) -> None:
    done = run(crates["eager"], "eager", "--image", "x.png")

    assert done.stderr == "Error: this model does not read images: use --tensors or --json\n"
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("meaning", "numbers", "said"),
    [
        ("probabilities", [0.25, 0.75], "Image is a b (75.0 %)"),
        ("log-probabilities", [-1.3862944, -0.2876821], "Image is a b (75.0 %)"),
        ("natural logarithms of probabilities", [-1.3862944, -0.2876821], "Image is a b (75.0 %)"),
        ("logits", [1000.0, 1001.0986123], "Image is a b (75.0 %)"),
        ("marks", [1.0, 2.0], "Image is a b"),
    ],
)
def test_the_percentage_goes_by_what_the_output_means(
    tmp_path: Path, meaning: str, numbers: list[float], said: str
) -> None:
    inputs = [tensor("image", "uint8", ["batch", 1, 1, 1], "image")]
    outputs = [tensor("scores", "float32", ["batch", 2], meaning)]
    crate = graph(
        tmp_path / "crate",
        contract(inputs, outputs, labels="ab"),
        [
            helper.make_node("Cast", ["image"], ["cast"], to=TensorProto.FLOAT),
            helper.make_node("Squeeze", ["cast", "axes"], ["flat"]),
            helper.make_node("Mul", ["flat", "nought"], ["nil"]),
            helper.make_node("Add", ["nil", "numbers"], ["scores"]),
        ],
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 1, 1, 1])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2])],
        axes=np.array([2, 3]),
        nought=np.zeros(1, np.float32),
        numbers=np.array([numbers], np.float32),
    )
    Image.new("L", (1, 1)).save(tmp_path / "x.png")

    done = run(crate, "onnx", "--image", tmp_path / "x.png")

    assert done.stdout == f"{said}  {tmp_path / 'x.png'}\n", done.stderr


def test_weights_beside_the_graph_are_found(tmp_path: Path) -> None:
    said = contract([tensor("x", "float64", [])], [tensor("y", "float64", ["n"])])
    crate = graph(
        tmp_path / "crate",
        said,
        [helper.make_node("Add", ["x", "w"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, ["n"])],
        w=np.arange(300.0),
    )
    model = onnx.load(crate / "model.onnx")
    onnx.save(model, crate / "model.onnx", save_as_external_data=True, location="model.onnx.data")

    done = run(crate, "onnx", "--json", stdin='{"x": 0.5}\n')

    assert (crate / "model.onnx.data").stat().st_size >= 2400
    assert json.loads(done.stdout)["y"][:2] == [0.5, 1.5], done.stderr


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_are_taken_in_their_own_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    state = {"scale": torch.tensor([1.0, 1 / 3], dtype=dtype)}
    crate = eager(tmp_path / "crate", TAGGER, "toys.networks:Tagger", state, words=2)

    done = run(crate, "eager", "--json", stdin='{"tokens": [[1]]}\n')

    kind = str(dtype).removeprefix("torch.")
    assert kind in done.stdout  # the network answers in that precision, the contract has float32
    assert done.returncode == 1


def breaks() -> dict[str, Callable[[Path], None]]:
    def state(crate: Path) -> None:
        shutil.rmtree(crate)
        eager(crate, TAGGER, "toys.networks:Tagger", {"scale": torch.ones(3)}, words=2)

    return {
        "toys.networks:Tagger needs toys.parts": lambda crate: (crate / "toys.parts.py").unlink(),
        "cannot build toys.networks:Tagger": lambda crate: (
            (crate / "toys.networks.py").write_text("Tagger = 3") and None
        ),
        "size mismatch for scale": state,
    }


@pytest.mark.parametrize("said", breaks())
def test_a_network_that_cannot_be_built_is_one_line(
    crates: dict[str, Path], tmp_path: Path, said: str
) -> None:
    crate = Path(shutil.copytree(crates["eager"], tmp_path / "crate"))
    breaks()[said](crate)

    done = run(crate, "eager", "--json")

    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == 6


@pytest.mark.parametrize("runtime", ["eager", "torchscript"])
def test_the_modules_of_another_crate_are_found_by_its_name(
    crates: dict[str, Path], tmp_path: Path, runtime: str
) -> None:
    own = tmp_path / "programs"
    own.mkdir()
    with_programs(own)

    done = run(own, runtime, "--crate", crates[runtime], "--json", stdin='{"tokens": [[7]]}\n')

    assert json.loads(done.stdout)["total"] == 7, done.stderr


@BOTH
def test_a_device_that_is_missing_is_one_line(crates: dict[str, Path], runtime: str) -> None:
    done = run(crates[runtime], runtime, "--json", "--device", "cuda")

    assert done.stderr.endswith("finds no CUDA device here: leave --device out\n")
    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == 6

"""Any contract: the C++ program, never compiled again, on small networks of every kind."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import preloaded
import pytest
import safetensors.numpy
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.:DeprecationWarning")


def tensor(name: str, dtype: str, axes: list[int | str], meaning: str = "", **more: Any) -> Any:
    return {"name": name, "dtype": dtype, "axes": axes, "meaning": meaning, **more}


def crate(
    folder: Path, source: str, inputs: list[Any], outputs: list[Any], labels: str = "", **more: Any
) -> None:
    """Write a crate of model.pt whose class has one `forward`, given as TorchScript."""
    said = {"inputs": inputs, "outputs": outputs, "labels": list(labels), **more}
    head = "import torch\nfrom typing import Optional\nfrom torch import Tensor\n"
    module = folder / "toy.py"  # a file, as that is where torch looks for the source
    module.write_text(f"{head}class Toy(torch.nn.Module):\n{textwrap.indent(source, '    ')}\n")
    found = importlib.util.spec_from_file_location(f"toy_{id(said)}", module)
    assert found
    assert found.loader
    toy = importlib.util.module_from_spec(found)
    found.loader.exec_module(toy)
    script = torch.jit.script(toy.Toy().eval())
    torch.jit.save(script, folder / "model.pt", _extra_files={"contract.json": json.dumps(said)})


@pytest.fixture
def run(libtorch: Path, tmp_path: Path) -> Run:
    """Run the program on the crate in `tmp_path`, from there."""

    def start(*arguments: str, stdin: str = "", **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [libtorch, *arguments],
            cwd=tmp_path,
            input=stdin,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            check=False,
        )

    return start


@pytest.fixture
def tagger(tmp_path: Path) -> Path:
    """A crate with an optional input, three outputs, one of them a scalar, and empty batches."""
    source = """
def forward(self, tokens, mask: Optional[Tensor]) :
    kept = torch.ones_like(tokens, dtype=torch.bool)
    if mask is not None:
        kept = mask
    scores = (tokens * kept).unsqueeze(-1) * torch.tensor([1.0, 2.0])
    return scores, kept, tokens.sum()
"""
    crate(
        tmp_path,
        source,
        [
            tensor("tokens", "int64", ["batch", "time"], "tokens"),
            tensor("mask", "bool", ["batch", "time"], "mask", optional=True),
        ],
        [
            tensor("scores", "float32", ["batch", "time", 2], "logits"),
            tensor("kept", "bool", ["batch", "time"]),
            tensor("total", "int64", []),
        ],
        labels="nv",
        sizes={"batch": {"minimum": 0, "maximum": 3}, "time": {"minimum": 1, "maximum": None}},
    )
    return tmp_path


@pytest.mark.usefixtures("tagger")
def test_each_line_of_json_is_answered_on_its_own(run: Run) -> None:
    lines = {
        '{"tokens": [[1, 2]]}': {
            "scores": [[[1.0, 2.0], [2.0, 4.0]]],
            "kept": [[True, True]],
            "total": 3,
        },
        '{"mask": [[true, false]], "tokens": [[1, 2]]}': {
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
        '{"tokens": [[1, nul]]}': "not an object of JSON",
        '{"mask": [[true]]}': "tensor tokens is missing",
        '{"words": [[1]]}': "words is no input, the contract has tokens, mask",
        '{"tokens": [[1], [2, 3]]}': "tokens is no regular list of numbers",
        '{"tokens": [[1, [2]]]}': "tokens is no regular list of numbers",
        '{"tokens": [[1.5]]}': "tokens holds a value that is no int64",
        '{"tokens": [[NaN]]}': "not an object of JSON",
        '{"tokens": [[null]]}': "tokens holds a value that is no int64",
        '{"tokens": [[true]]}': "tokens holds a value that is no int64",
        '{"tokens": [[9223372036854775808]]}': "tokens holds a number beyond int64",
        '{"tokens": [1]}': "tokens is int64(1), the contract has int64(batch, time)",
        '{"tokens": [[], []]}': "tokens has time 0, the contract has 1 or more",
        '{"tokens": [[1], [1], [1], [1]]}': "tokens has batch 4, the contract has 0 to 3",
        '{"tokens": [[1, 2]], "mask": [[true]]}': "mask has time 1, tokens has 2",
    }

    done = run("--json", stdin="\n".join(lines) + "\n")

    said = [json.loads(line) for line in done.stdout.splitlines()]
    want = [
        {"error": f"line {number}: {one}"} if isinstance(one, str) else one
        for number, one in enumerate(lines.values(), 1)
    ]
    assert said == want
    assert done.stderr == "".join(f"Error: {one['error']}\n" for one in said if "error" in one)
    assert done.returncode == 1


def test_a_line_is_answered_before_the_next_one_is_read(libtorch: Path, tagger: Path) -> None:
    command = [libtorch, "--json", "--crate", tagger]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdin
        assert one.stdout
        for number in (1, 2):
            one.stdin.write(f'{{"tokens": [[{number}]]}}\n')
            one.stdin.flush()
            assert json.loads(one.stdout.readline())["total"] == number
        one.stdin.close()
    assert one.returncode == 0


def test_tensors_may_lack_what_is_optional_and_be_empty(run: Run, tagger: Path) -> None:
    asked = {
        "a.tokens": np.array([[1, 2]]),
        "b.tokens": np.array([[1, 2]]),
        "b.mask": np.array([[False, True]]),
        "tokens": np.zeros((0, 4), np.int64),
    }
    safetensors.numpy.save_file(asked, tagger / "in")

    done = run("--tensors", "in", "--out", "out")

    got = safetensors.numpy.load_file(tagger / "out")
    assert done.returncode == 0, done.stderr
    assert got["a.total"].shape == ()
    assert got["a.kept"].tolist() == [[True, True]]
    assert got["b.scores"].tolist() == [[[0, 0], [2, 4]]]
    assert got["scores"].shape == (0, 4, 2)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        (None, None, "passed: 2 vectors, worst 0.0e+00 at a, limit 1.0e-05"),
        ("scores", [[[1, 2.0001], [2, 4]]], "failed: 2 vectors, worst 3.3e-05 at a"),
        ("scores", [[[2, 1], [2, 4]]], "limit 1.0e-05, 1 labels flipped"),
        ("kept", [[True, False]], "worst 1.0e+00 at a"),
        ("total", 4, "worst 2.0e-01 at a"),
    ],
    ids=["sound", "a number", "a label", "a bool", "a whole number"],
)
def test_the_selftest_judges_every_output_and_labels_of_any_rank(
    run: Run, tagger: Path, key: str | None, value: Any, said: str
) -> None:
    golden: dict[str, Any] = {
        "a.tokens": np.array([[1, 2]]),
        "a.scores": np.array([[[1, 2], [2, 4]]], np.float32),
        "a.kept": np.array([[True, True]]),
        "a.total": np.array(3),
        "b.tokens": np.zeros((0, 1), np.int64),
        "b.scores": np.zeros((0, 1, 2), np.float32),
        "b.kept": np.zeros((0, 1), np.bool_),
        "b.total": np.array(0),
    }
    if key:
        golden[f"a.{key}"] = np.array(value, golden[f"a.{key}"].dtype)
    file = tagger / "golden.safetensors"
    safetensors.numpy.save_file(golden, file, {"limits": '{"libtorch": 1e-5}'})

    done = run("--selftest")

    assert said in done.stdout + done.stderr
    assert done.returncode == (5 if key else 0)


def test_numbers_of_16_bits_and_infinities_are_compared_as_they_are(
    run: Run, tmp_path: Path
) -> None:
    sides = [tensor("x", "float16", ["n"])], [tensor("y", "float16", ["n"])]
    crate(tmp_path, "def forward(self, x):\n    return x", *sides, sizes={"n": {"minimum": 0}})
    x = np.array([-np.inf, 60000, -60000, np.inf, 6e-8], np.float16)
    golden = {"x": x, "y": x.copy(), "empty.x": x[:0], "empty.y": x[:0]}

    def replay() -> str:
        file = tmp_path / "golden.safetensors"
        safetensors.numpy.save_file(golden, file, {"limits": '{"libtorch": 3}'})
        done = run("--selftest")
        return done.stdout + done.stderr

    right = replay()
    golden["y"][2] = 60000  # whose difference is beyond 16 bits
    wrong = replay()
    golden["y"][3] = -np.inf
    worse = replay()

    assert right.startswith("selftest passed: 2 vectors, worst 0.0e+00")
    assert wrong.startswith("selftest passed: 2 vectors, worst 2.0e+00")
    assert worse.startswith("Error: selftest failed: 2 vectors, worst nan")


@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64", "bool"]
)
def test_scalars_of_every_dtype_go_through_json_unchanged(
    run: Run, tmp_path: Path, dtype: str
) -> None:
    sides = [tensor("x", dtype, [])], [tensor("y", dtype, [])]
    crate(tmp_path, "def forward(self, x):\n    return x", *sides)
    kind = np.dtype(dtype).kind
    values = (
        [True, False]
        if kind == "b"
        else [0, 1, 0.1, -1e-7, 65504]
        if kind == "f"
        else [int(np.iinfo(dtype).min), int(np.iinfo(dtype).max), 7]
    )
    lines = [json.dumps({"x": value}) for value in values]

    done = run("--json", stdin="\n".join(lines))

    said = [json.loads(line)["y"] for line in done.stdout.splitlines()]
    want = [np.array(value, dtype).item() for value in values]
    assert list(map(repr, said)) == list(map(repr, want))
    assert (done.returncode, done.stderr) == (0, "")


def in_python(crate: Path, *options: str, stdin: str) -> "subprocess.CompletedProcess[str]":
    """Run the Python program for model.pt on a crate."""
    for path in (ROOT / "runners").glob("*.py"):
        shutil.copy(path, crate)
    return preloaded.run(crate / "run_torchscript.py", *options, cwd=crate, stdin=stdin)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_json_has_no_number_for_is_said_alike_in_python_and_cpp(
    run: Run, tmp_path: Path, dtype: str
) -> None:
    sides = [tensor("x", dtype, ["n"])], [tensor("y", dtype, ["n"]), tensor("lone", dtype, [])]
    crate(tmp_path, "def forward(self, x):\n    return x / 0, x[0] / 0", *sides)
    deep = 64
    lines = {
        '{"x": [0, 1, -1, -0.0]}': {"y": [None] * 4, "lone": None},
        '{"x": [NaN]}': "not an object of JSON",
        '{"x": [1, Infinity]}': "not an object of JSON",
        '{"x": [-Infinity]}': "not an object of JSON",
        '{"x": [nan]}': "not an object of JSON",
        '{"x": ["NaN"]}': f"x holds a value that is no {dtype}",
        '{"x": [null]}': f"x holds a value that is no {dtype}",
        '{"x": [1e999]}': "a number is beyond float64",
        '{"x": [true, [-1e999]]}': "a number is beyond float64",
        '{"other": 1e999}': "a number is beyond float64",
        "[1e999]": "a number is beyond float64",
        '{"x": [%s]}' % ("9" * 400): "a number is beyond float64",
        '{"x": ' + "[" * deep + "1" + "]" * deep + "}": f"x is {dtype}({', '.join('1' * deep)}), "
        f"the contract has {dtype}(n)",
        **{
            '{"x": ' + "[" * depth + "1" + "]" * depth + "}": "x is no regular list of numbers"
            for depth in (65, 500, 900)
        },
        '{"\\ud800": 1}': "not an object of JSON",
        '{"x": [1]}\0{"x": [2]}': "not an object of JSON",
    }
    if dtype != "float64":
        lines['{"x": [1e300]}'] = f"x holds a number beyond {dtype}"
    lines['{"x": [%s]}' % ("9" * 5000)] = "a number is beyond float64"

    answers = [
        f(stdin="\n".join(lines))
        for f in (partial(run, "--json"), partial(in_python, tmp_path, "--json"))
    ]

    want = [
        {"error": f"line {number}: {one}"} if isinstance(one, str) else one
        for number, one in enumerate(lines.values(), 1)
    ]
    for done in answers:
        assert [json.loads(line) for line in done.stdout.splitlines()] == want
        assert done.returncode == 1
    assert answers[0].stdout == answers[1].stdout
    assert answers[0].stderr == answers[1].stderr


NUMBERS = [
    *(0.0, 1.0, 1.5, 0.1, 1 / 3, 100.0, 1e5, 123456.0, 1234567.0, 1e6, 1e15, 1e16, 1e17),
    *(9007199254740993.0, 9999999999999998.0, 1.2345678901234567e15, 1e22, 1e23, 1e-3, 1e-4),
    *(9.999999999999999e-05, 1e-5, 1.5e-5, 1e-10, 5e-324, 2.2250738585072014e-308, 1e100),
    *(1.7976931348623157e308, 999999.5, 0.00012345675, 65504.0, 3.4028234663852886e38),
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_are_written_alike_in_python_and_cpp(run: Run, tmp_path: Path, dtype: str) -> None:
    """An image of the grey value N is answered by the Nth number and what lies below zero."""
    numbers = [number for number in NUMBERS if number <= float(np.finfo(dtype).max)]
    source = f"""
def __init__(self):
    super().__init__()
    self.numbers = torch.tensor({numbers}, dtype=torch.{dtype})

def forward(self, image):
    picked = image.flatten(1).to(torch.int64)[:, :1]
    both = torch.cat([self.numbers[picked], -self.numbers[picked]], 1)
    return both, picked + 9223372036854775000
"""
    image = tensor("image", "uint8", ["batch", 1, "h", "w"], "image")
    sides = [tensor("y", dtype, ["batch", 2]), tensor("whole", "int64", ["batch", 1])]
    crate(tmp_path, source, [image], sides)
    for pixel in range(len(numbers)):
        Image.new("L", (1, 1), pixel).save(tmp_path / f"{pixel:02}.png")

    for options in (["--image", "*.png"], ["--image", "*.png", "--json"]):
        one, other = run(*options), in_python(tmp_path, *options, stdin="")

        assert len(one.stdout.splitlines()) == len(numbers), one.stderr
        assert one.stdout == other.stdout
        assert (one.returncode, one.stderr) == (other.returncode, other.stderr)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_whole_numbers_that_do_not_fit_are_refused_alike_in_python_and_cpp(
    run: Run, tmp_path: Path, dtype: str
) -> None:
    crate(
        tmp_path,
        "def forward(self, x):\n    return x",
        [tensor("x", dtype, ["n"])],
        [tensor("y", dtype, ["n"])],
    )
    numbers = ["-1", "256", "-0", "1.0", "1e2", "true", "null", '"1"', "1, 1.0", "300, true"]
    numbers += [
        str(sign * (2**bits + more))
        for sign in (1, -1)
        for bits in (63, 64, 90)
        for more in (-1, 0, 1)
    ]
    lines = "".join(f'{{"x": [{number}]}}\n' for number in numbers)

    one, other = run("--json", stdin=lines), in_python(tmp_path, "--json", stdin=lines)

    assert len(one.stdout.splitlines()) == len(numbers)
    assert one.stdout == other.stdout
    assert one.stderr == other.stderr


def test_a_line_nested_beyond_all_measure_ends_no_program(run: Run, tmp_path: Path) -> None:
    sides = [tensor("x", "float32", ["n"])], [tensor("y", "float32", ["n"])]
    crate(tmp_path, "def forward(self, x):\n    return x + 1", *sides)
    calls = '{"x": ' + "[" * 100_000 + "1" + "]" * 100_000 + '}\n{"x": [1]}\n'

    for ask in (partial(run, "--json"), partial(in_python, tmp_path, "--json")):
        first, second = map(json.loads, ask(stdin=calls).stdout.splitlines())
        assert "error" in first
        assert second == {"y": [2.0]}


def test_empty_tensors_are_read_whatever_their_other_axes_are(run: Run, tmp_path: Path) -> None:
    sides = [tensor("x", "float32", ["n", "m"])], [tensor("y", "float32", ["n", "m"])]
    limits = {"n": {"minimum": 0}, "m": {"minimum": 0}}
    crate(tmp_path, "def forward(self, x):\n    return x + 1", *sides, sizes=limits)
    empty = {"a.x": np.zeros((3, 0), np.float32), "b.x": np.zeros((0, 3), np.float32)}
    safetensors.numpy.save_file(empty, tmp_path / "in")

    done = run("--tensors", "in", "--out", "out")

    assert (done.returncode, done.stderr) == (0, "")
    answers = safetensors.numpy.load_file(tmp_path / "out")
    assert {name: one.shape for name, one in answers.items()} == {"a.y": (3, 0), "b.y": (0, 3)}


def test_a_contract_nested_beyond_all_measure_is_refused(run: Run, tmp_path: Path) -> None:
    sides = [tensor("x", "float32", ["n"])], [tensor("y", "float32", ["n"])]
    crate(tmp_path, "def forward(self, x):\n    return x + 1", *sides)
    extra = {"contract.json": '{"inputs": ' + "[" * 200_000 + "]" * 200_000 + "}"}
    module = torch.jit.load(str(tmp_path / "model.pt"))
    torch.jit.save(module, str(tmp_path / "model.pt"), _extra_files=extra)

    done = run("--json", stdin="")

    assert done.returncode == 6
    assert "nested too deeply" in done.stderr


def test_stdin_that_cannot_be_read_is_no_success(run: Run, tmp_path: Path, libtorch: Path) -> None:
    sides = [tensor("x", "float32", ["n"])], [tensor("y", "float32", ["n"])]
    crate(tmp_path, "def forward(self, x):\n    return x + 1", *sides)
    for path in (ROOT / "runners").glob("*.py"):
        shutil.copy(path, tmp_path)

    python = f"{sys.executable} run_torchscript.py"
    for line in (f"{libtorch} --json < .", f"{libtorch} --json <&-", f"{python} --json <&-"):
        done = subprocess.run(
            ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        said = (done.returncode, done.stdout, done.stderr)
        assert said == (6, "", "Error: cannot read the calls on stdin\n"), line


def test_errors_stay_off_stdout_where_stderr_is_closed(tmp_path: Path) -> None:
    sides = [tensor("x", "float32", ["n"])], [tensor("y", "float32", ["n"])]
    crate(tmp_path, "def forward(self, x):\n    return x + 1", *sides)
    for path in (ROOT / "runners").glob("*.py"):
        shutil.copy(path, tmp_path)
    line = f"echo '[]' | {sys.executable} run_torchscript.py --json 2>&-"

    done = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    (said,) = map(json.loads, done.stdout.splitlines())
    assert said["error"].startswith("line 1: ")


def test_a_folder_that_is_in_the_way_of_the_answers_is_left(run: Run, tmp_path: Path) -> None:
    sides = [tensor("x", "float32", ["n"])], [tensor("y", "float32", ["n"])]
    crate(tmp_path, "def forward(self, x):\n    return x + 1", *sides)
    safetensors.numpy.save_file({"x": np.zeros(2, np.float32)}, tmp_path / "in")
    (tmp_path / "out.partial").mkdir()

    assert run("--tensors", "in", "--out", "out").returncode != 0
    assert (tmp_path / "out.partial").is_dir()


@pytest.mark.parametrize("meaning", ["probabilities", "log-probabilities", "logits", "scores"])
def test_people_are_told_of_what_is_no_number_alike_in_python_and_cpp(
    run: Run, tmp_path: Path, meaning: str
) -> None:
    """Pixels 0, 1, 2, 3 are answered by NaN alone, NaN beside a number, infinity and too much."""
    source = """
def forward(self, image):
    pixel = image.flatten(1).to(torch.float32)[:, :1]
    nan = torch.zeros_like(pixel) / 0
    first = torch.where(pixel == 2, 1 / torch.zeros_like(pixel), nan)
    first = torch.where(pixel == 3, torch.full_like(pixel, 800.0), first)
    return torch.cat([torch.where(pixel == 0, nan, torch.ones_like(pixel)), first], 1)
"""
    image = tensor("image", "uint8", ["batch", 1, "h", "w"], "image")
    crate(tmp_path, source, [image], [tensor("y", "float32", ["batch", 2], meaning)], labels="no")
    for pixel in range(4):
        Image.new("L", (1, 1), pixel).save(tmp_path / f"{pixel}.png")

    for options in (["--image", "*.png"], ["--image", "*.png", "--json"]):
        one, other = run(*options), in_python(tmp_path, *options, stdin="")

        assert len(one.stdout.splitlines()) == 4, one.stderr
        assert one.stdout == other.stdout
        assert (one.returncode, one.stderr) == (other.returncode, other.stderr)


def images(folder: Path) -> None:
    for name, shape in (("a", (2, 4, 3)), ("b", (2, 5, 3)), ("c", (3, 4, 3)), ("d", (2, 4))):
        values = np.arange(np.prod(shape)).reshape(shape) * 5
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{name}.png")


@pytest.fixture
def mean(tmp_path: Path) -> Path:
    """A crate that takes colour images of fixed height and has no labels, with four images."""
    crate(
        tmp_path,
        "def forward(self, image):\n    return image.float().mean((2, 3)), image > 99",
        [tensor("image", "uint8", ["batch", 3, 2, "width"], "image")],
        [
            tensor("mean", "float32", ["batch", 3]),
            tensor("large", "bool", ["batch", 3, 2, "width"]),
        ],
    )
    images(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("mean")
def test_colour_images_of_fixed_height_are_read(run: Run) -> None:
    done = run("--json", "--image", "*.png")

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["path"] for row in rows] == ["a.png", "b.png", "c.png", "d.png"]
    assert set(rows[0]) == {"path", "mean", "large"}
    assert rows[0]["mean"] == [52.5, 57.5, 62.5]
    assert np.array(rows[1]["large"]).shape == (3, 2, 5)
    assert rows[2] == {"path": "c.png", "error": "c.png: height 3, the contract has 2"}
    assert rows[3]["mean"] == [17.5] * 3
    assert done.stderr == "Error: c.png: height 3, the contract has 2\n"
    assert done.returncode == 1


@pytest.mark.usefixtures("mean")
def test_people_are_told_few_numbers_and_the_shape_of_many(run: Run) -> None:
    done = run("--image", "a.png")

    assert done.stdout == "mean [52.5, 57.5, 62.5], large bool(3, 2, 4)  a.png\n"


def test_an_image_that_is_not_called_one_is_said_alike_in_python_and_cpp(
    run: Run, tmp_path: Path
) -> None:
    axes = ["batch", 3, 2, "width"]
    sides = [tensor("pixels", "uint8", axes)], [tensor("same", "uint8", axes)]
    crate(tmp_path, "def forward(self, pixels):\n    return pixels", *sides)

    one, other = run("--image", "x.png"), in_python(tmp_path, "--image", "x.png", stdin="")

    assert "described 'as image'" in one.stderr
    assert (one.returncode, one.stderr) == (other.returncode, other.stderr)


@pytest.mark.usefixtures("tagger")
def test_a_model_that_reads_no_images_says_so(run: Run) -> None:
    done = run("--image", "x.png")

    assert done.stderr == "Error: this model does not read images: use --tensors or --json\n"
    assert done.returncode == 2


@pytest.mark.parametrize(
    ("axes", "output", "sizes"),
    [
        (["batch", 1, "h", "w"], ["batch"], {}),
        (["batch", 1, "h", "w"], ["batch"], {"batch": {"maximum": 3}}),
        ([1, 1, "h", "w"], [1], {}),
        (["batch", 1, "h", "w"], [], {}),
    ],
    ids=["any batch", "three at most", "one", "an answer for all together"],
)
def test_as_many_images_are_answered_together_as_the_contract_allows(
    run: Run, tmp_path: Path, axes: list[int | str], output: list[int | str], sizes: Any
) -> None:
    all_together = "" if output else ".sum()"
    crate(
        tmp_path,
        f"def forward(self, image):\n    return image.long().sum((1, 2, 3)){all_together}",
        [tensor("image", "uint8", axes, "image")],
        [tensor("sum", "int64", output)],
        sizes=sizes,
    )
    for i in range(40):
        Image.new("L", (2, 2), i).save(tmp_path / f"{i:02}.png")

    done = run("--json", "--image", "*.png")

    assert done.stderr == ""
    assert [json.loads(line)["sum"] for line in done.stdout.splitlines()] == list(range(0, 160, 4))


class Cancelling(torch.nn.Module):
    """A sum of pixels beside a large number, which normalisation takes away again.

    Folding it into the convolution, as optimising does, is more exact than what the model does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 1, 2)
        self.norm = torch.nn.BatchNorm2d(1)
        with torch.no_grad():
            self.conv.weight.fill_(1)
            self.conv.bias.fill_(1e6)
            self.norm.running_mean.fill_(1e6)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return sums (N,) of images (N, 1, 2, 2)."""
        return self.norm(self.conv(image.to(torch.float32))).flatten()


def test_a_model_whose_optimised_copy_answers_otherwise_answers_as_it_is(
    run: Run, tmp_path: Path
) -> None:
    module = torch.jit.script(Cancelling().eval())
    said = {
        "inputs": [tensor("image", "uint8", ["batch", 1, 2, 2], "image")],
        "outputs": [tensor("sum", "float32", ["batch"])],
        "labels": [],
    }
    torch.jit.save(module, tmp_path / "model.pt", _extra_files={"contract.json": json.dumps(said)})
    grey = torch.arange(40, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    for i in range(40):
        Image.new("L", (2, 2), i).save(tmp_path / f"{i:02}.png")

    done = run("--json", "--image", "*.png")

    sums = torch.tensor([json.loads(line)["sum"] for line in done.stdout.splitlines()])
    with torch.inference_mode():
        want = module(grey)
        other = torch.jit.optimize_for_inference(module)(grey)
    assert (other - want).abs().max() > 1e-3
    assert torch.equal(sums, want)


@pytest.mark.usefixtures("tagger")
def test_cuda_without_a_device_is_one_line(run: Run) -> None:
    done = run("--device", "cuda", "--json")

    assert done.returncode == 6
    assert done.stderr.startswith("Error: LibTorch ")
    assert done.stderr.endswith(" finds no CUDA device here: leave --device out\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("return x, x", "the model answers with 2 tensors, the contract has 1"),
        ("return 1", "the model answers with a Int, not a tensor"),
        ("return x.to(torch.bfloat16)", "the model answers with bfloat16, no contract has that"),
        ("return x.sum()", "y is float32(), the contract has float32(n)"),
        ("return x[1:]", "y has n 1, x has 2"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_told(
    run: Run, tmp_path: Path, source: str, said: str
) -> None:
    sides = [tensor("x", "float32", ["n"])], [tensor("y", "float32", ["n"])]
    crate(tmp_path, f"def forward(self, x):\n    {source}", *sides)
    safetensors.numpy.save_file({"x": np.zeros(2, np.float32)}, tmp_path / "in")

    done = run("--tensors", "in", "--out", "out")

    assert (done.returncode, done.stderr) == (3, f"Error: {said}\n")

"""--json: a call on each line of stdin, answered or refused in the same words by every program."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from handmade import VECTOR, contract, eager, graph, script, tensor
from onnx import TensorProto, helper
from programs import BOTH, Ask, Runner

PROGRAMS = ["run_eager.py", "run_torchscript.py", "run_libtorch"]


@pytest.fixture
def plus_one(tmp_path: Path) -> Path:
    return script(tmp_path / "plus_one", VECTOR, "def forward(self, x):\n return x + 1")


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_line_of_json_is_answered_on_its_own(ask: Ask, tagger: Path, name: str) -> None:
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
        '{"tokens": [[NaN]]}': "not an object of JSON",
        '{"mask": [[true]]}': "tensor tokens is missing",
        '{"words": [[1]]}': "words is no input, the contract has tokens, mask",
        '{"tokens": [[1], [2, 3]]}': "tokens is no regular list of numbers",
        '{"tokens": [[1, [2]]]}': "tokens is no regular list of numbers",
        '{"tokens": [[1.5]]}': "tokens holds a value that is no int64",
        '{"tokens": [[null]]}': "tokens holds a value that is no int64",
        '{"tokens": [[true]]}': "tokens holds a value that is no int64",
        '{"tokens": [[9223372036854775808]]}': "tokens holds a number beyond int64",
        '{"tokens": [1]}': "tokens is int64(1), the contract has int64(batch, time)",
        '{"tokens": [[], []]}': "tokens has time 0, the contract has 1 or more",
        '{"tokens": [[1], [1], [1], [1]]}': "tokens has batch 4, the contract has 0 to 3",
        '{"tokens": [[1, 2]], "mask": [[true]]}': "mask has time 1, tokens has 2",
    }

    done = ask(name, tagger, "--json", stdin="\n".join(lines) + "\n")

    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert said == wanted(lines)
    assert done.stderr == "".join(f"Error: {one['error']}\n" for one in said if "error" in one)
    assert done.returncode == 1


def wanted(lines: dict[str, object]) -> list[object]:
    """Return what must come of lines of JSON: the answer to each, or why there is none."""
    return [
        {"error": f"line {number}: {one}"} if isinstance(one, str) else one
        for number, one in enumerate(lines.values(), 1)
    ]


@pytest.mark.parametrize("name", BOTH)
def test_a_line_is_answered_before_the_next_one_is_read(
    libtorch: Path, tagger: Path, name: str
) -> None:
    program = Runner(name, tagger, libtorch)
    command = [*program.command, *program.own, "--json"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as one:
        assert one.stdin
        assert one.stdout
        for number in (1, 2):
            one.stdin.write(f'{{"tokens": [[{number}]]}}\n')
            one.stdin.flush()
            assert json.loads(one.stdout.readline())["total"] == number
        one.stdin.close()
    assert one.returncode == 0


@pytest.mark.parametrize(
    "dtype", ["int8", "int16", "int32", "int64", "uint8", "float16", "float32", "float64", "bool"]
)
def test_scalars_of_every_dtype_go_through_json_unchanged(
    ask: Ask, tmp_path: Path, dtype: str
) -> None:
    said = contract([tensor("x", dtype, [])], [tensor("y", dtype, [])])
    crate = script(tmp_path / "same", said, "def forward(self, x):\n return x")
    kind = np.dtype(dtype).kind
    values = (
        [True, False]
        if kind == "b"
        else [0, 1, 0.1, -1e-7, 65504]
        if kind == "f"
        else [int(np.iinfo(dtype).min), int(np.iinfo(dtype).max), 7]
    )

    done = ask(
        "run_libtorch",
        crate,
        "--json",
        stdin="\n".join(f'{{"x": {json.dumps(v)}}}' for v in values),
    )

    answers = [json.loads(line)["y"] for line in done.stdout.splitlines()]
    want = [np.array(value, dtype).item() for value in values]
    assert list(map(repr, answers)) == list(map(repr, want))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_what_json_has_no_number_for_is_said_alike_in_python_and_cpp(
    ask: Ask, tmp_path: Path, dtype: str
) -> None:
    outputs = [tensor("y", dtype, ["n"]), tensor("lone", dtype, [])]
    crate = script(
        tmp_path / "infinite",
        contract([tensor("x", dtype, ["n"])], outputs),
        "def forward(self, x):\n return x / 0, x[0] / 0",
    )
    deep = 64
    lines: dict[str, object] = {
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

    one, other = (ask(name, crate, "--json", stdin="\n".join(lines)) for name in BOTH)

    assert [json.loads(line) for line in one.stdout.splitlines()] == wanted(lines)
    assert one.returncode == 1
    assert (one.returncode, one.stdout, one.stderr) == (
        other.returncode,
        other.stdout,
        other.stderr,
    )


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool"])
def test_whole_numbers_that_do_not_fit_are_refused_alike_in_python_and_cpp(
    ask: Ask, tmp_path: Path, dtype: str
) -> None:
    said = contract([tensor("x", dtype, ["n"])], [tensor("y", dtype, ["n"])])
    crate = script(tmp_path / "same", said, "def forward(self, x):\n return x")
    numbers = ["-1", "256", "-0", "1.0", "1e2", "true", "null", '"1"', "1, 1.0", "300, true"]
    numbers += [
        str(sign * (2**bits + more))
        for sign in (1, -1)
        for bits in (63, 64, 90)
        for more in (-1, 0, 1)
    ]
    lines = "".join(f'{{"x": [{number}]}}\n' for number in numbers)

    one, other = (ask(name, crate, "--json", stdin=lines) for name in BOTH)

    assert len(one.stdout.splitlines()) == len(numbers)
    assert (one.stdout, one.stderr) == (other.stdout, other.stderr)


@pytest.mark.parametrize("name", BOTH)
def test_a_line_nested_beyond_all_measure_ends_no_program(
    ask: Ask, plus_one: Path, name: str
) -> None:
    calls = '{"x": ' + "[" * 100_000 + "1" + "]" * 100_000 + '}\n{"x": [1]}\n'

    first, second = map(json.loads, ask(name, plus_one, "--json", stdin=calls).stdout.splitlines())

    assert "error" in first
    assert second == {"y": [2.0]}


@pytest.fixture(scope="module")
def picked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network in every format: words by their number, each by its level."""
    said = contract(
        [
            tensor("tokens", "int64", ["n"], minimum=0.0, maximum=9.0),
            tensor("level", "float32", ["n"], minimum=0.0, maximum=0.1),
        ],
        [tensor("picked", "float32", ["n"])],
        sizes={"n": {"minimum": 0}},
    )
    words = torch.arange(10.0)
    source = f"""
def forward(self, tokens, level):
    return torch.tensor({words.tolist()})[tokens] * level
"""
    nodes = [
        helper.make_node("Gather", ["words", "tokens"], ["found"]),
        helper.make_node("Mul", ["found", "level"], ["picked"]),
    ]
    value = helper.make_tensor_value_info
    given = [value("tokens", TensorProto.INT64, ["n"]), value("level", TensorProto.FLOAT, ["n"])]
    answers = [value("picked", TensorProto.FLOAT, ["n"])]
    crate = tmp_path_factory.mktemp("picked")
    eager(crate, said, "Picked", {"words": words})
    script(crate, said, source)
    return graph(crate, said, nodes, given, answers, words=words.numpy())


def test_values_out_of_their_range_are_refused_alike_by_every_program(
    ask: Ask, picked: Path, tmp_path: Path
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

    for name in (*PROGRAMS, "run_onnx.py"):
        done = ask(name, picked, "--json", stdin="\n".join(lines))
        wrong = ask(name, picked, "--tensors", tmp_path / "in", "--out", tmp_path / "out")
        said.append((done.stdout, done.stderr, done.returncode, wrong.stderr, wrong.returncode))

    answers, refusals, *rest = said[0]
    want = [f"line {n}: {line}" for n, line in enumerate(lines.values(), 1) if line]
    assert [json.loads(one).get("error") for one in answers.splitlines()] == [None, None, *want]
    assert refusals == "".join(f"Error: {line}\n" for line in want)
    assert rest == [1, "Error: level holds nan, the contract has 0 to 0.1\n", 3]
    assert all(one == said[0] for one in said)


def test_stdin_that_cannot_be_read_is_no_success(plus_one: Path, libtorch: Path) -> None:
    python = f"{sys.executable} run_torchscript.py"
    for line in (f"{libtorch} --json < .", f"{libtorch} --json <&-", f"{python} --json <&-"):
        done = subprocess.run(
            ["bash", "-c", line], cwd=plus_one, capture_output=True, text=True, check=False
        )
        said = (done.returncode, done.stdout, done.stderr)
        assert said == (6, "", "Error: cannot read the calls on stdin\n"), line


def test_errors_stay_off_stdout_where_stderr_is_closed(plus_one: Path) -> None:
    line = f"echo '[]' | {sys.executable} run_torchscript.py --json 2>&-"

    done = subprocess.run(
        ["bash", "-c", line], cwd=plus_one, capture_output=True, text=True, check=False
    )

    (said,) = map(json.loads, done.stdout.splitlines())
    assert said["error"].startswith("line 1: ")

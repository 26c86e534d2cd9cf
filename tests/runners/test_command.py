"""One command line for all programs: the same words, the same exit codes, the same answers."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from torchcrate import errors
from torchcrate.model.contract import DIGITS
from torchcrate.model.samples import DRAWINGS, patterns

RUNNERS = ["run_eager.py", "run_torchscript.py", "run_onnx.py", "run_mnist.py", "run_libtorch"]
SET = Path(__file__).parents[1] / "drawings"
SAMPLE = DRAWINGS / "7-hooked-bar-felt.png"

Done = subprocess.CompletedProcess[str]


class Failing(torch.nn.Module):
    """Asks for more memory than there is."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return nothing, ever."""
        return torch.zeros(image.shape[0], 1 << 60)


class Runner:
    """One of the programs, run as a consumer runs it, in any folder."""

    def __init__(self, name: str, crate: Path, libtorch: Path) -> None:
        self.crate = crate
        python = name.endswith(".py")
        self.command = [sys.executable, str(crate / name)] if python else [str(libtorch)]
        self.own = [] if python else ["--crate", str(crate)]  # C++ looks in the current folder

    def __call__(
        self, *options: object, cwd: Path | None = None, crate: Path | None = None
    ) -> Done:
        chosen = ["--crate", str(crate)] if crate else self.own
        command = [*self.command, *chosen, *map(str, options)]
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120
        )


@pytest.fixture(scope="module", params=RUNNERS)
def each(request: pytest.FixtureRequest, sealed: Path, libtorch: Path) -> Runner:
    """Every program: for what depends on its runtime."""
    return Runner(request.param, sealed, libtorch)


@pytest.fixture(scope="module", params=["run_onnx.py", "run_libtorch"])
def run(request: pytest.FixtureRequest, sealed: Path, libtorch: Path) -> Runner:
    """One Python runner and the C++ one: for the command line, which the Python ones share."""
    return Runner(request.param, sealed, libtorch)


def test_every_committed_drawing_is_read_right(each: Runner) -> None:
    labels = json.loads((SET / "labels.json").read_text())

    done = each("--json", "--image", SET / "*.png")

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert len(rows) >= 40
    assert {Path(row["path"]).name: row["label"] for row in rows} == labels
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)


def test_all_programs_give_nearly_the_same_numbers(sealed: Path, libtorch: Path) -> None:
    answers = []
    for name in RUNNERS:
        done = Runner(name, sealed, libtorch)("--json", "--image", SET / "0*.png")
        rows = [json.loads(line)["log_probs"] for line in done.stdout.splitlines()]
        answers.append(np.array(rows))

    for other in answers[1:]:
        assert (np.abs(other - answers[0]) / (1 + np.abs(answers[0]))).max() <= 2e-5


def test_the_line_for_people_says_label_probability_and_path(run: Runner) -> None:
    done = run("--image", SAMPLE)

    match = re.fullmatch(r"Image is a 7 \((\d+\.\d) %\)  (.+)\n", done.stdout)
    assert done.returncode == 0
    assert match
    assert 50 < float(match[1]) <= 100
    assert match[2] == str(SAMPLE)


def test_answers_come_in_the_order_asked_and_json_holds_every_image(
    run: Runner, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(SAMPLE.read_bytes()[:60])

    done = run("--json", "--image", SAMPLE, "--image", tmp_path / "broken.png", "--image", SAMPLE)

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 1
    assert [row["path"] for row in rows] == [str(SAMPLE), str(tmp_path / "broken.png"), str(SAMPLE)]
    assert set(rows[0]) == {"path", "label", "log_probs"}
    assert set(rows[1]) == {"path", "error"}
    assert abs(sum(map(math.exp, rows[0]["log_probs"])) - 1) < 1e-5


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.png", b""),
        ("text.png", b"this is not an image"),
        ("cut.png", SAMPLE.read_bytes()[:-30]),
        ("flipped.png", SAMPLE.read_bytes().replace(b"IDAT", b"IDAU")),
        ("huge.png", SAMPLE.read_bytes()[:16] + b"\0\1\0\0" * 2 + SAMPLE.read_bytes()[24:]),
    ],
)
def test_an_image_that_cannot_be_read_is_one_line_and_the_rest_is_read(
    run: Runner, tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)

    done = run("--image", tmp_path / name, "--image", SAMPLE)

    assert done.returncode == 1
    assert done.stdout.startswith("Image is a 7")
    assert len(done.stderr.splitlines()) == 1
    assert name in done.stderr


def test_a_folder_and_a_missing_file_are_refused_by_name(run: Runner, tmp_path: Path) -> None:
    done = run("--image", tmp_path, "--image", tmp_path / "none-*.png")

    first, second = done.stderr.splitlines()
    assert done.returncode == 1
    assert str(tmp_path) in first
    assert "none-*.png" in second
    assert done.stdout == ""


def test_an_existing_path_is_taken_literally_before_it_is_a_pattern(
    run: Runner, tmp_path: Path
) -> None:
    literal = tmp_path / "seven[1].png"
    shutil.copy(SAMPLE, literal)
    shutil.copy(DRAWINGS / "0-round-marker.png", tmp_path / "seven1.png")

    done = run("--image", literal)

    assert "Image is a 7" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_a_glob_is_sorted_by_bytes(run: Runner, tmp_path: Path) -> None:
    names = ["a.png", "B.png", "é.png", "z.png", "10.png", "9.png"]
    for name in names:
        shutil.copy(SAMPLE, tmp_path / name)

    done = run("--json", "--image", "*.png", cwd=tmp_path, crate=run.crate)

    said = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert said == sorted(names, key=os.fsencode)


def test_tensors_answer_each_case_by_the_contracts_names(each: Runner, tmp_path: Path) -> None:
    images = patterns(3, 20, 31)["strokes"]
    asked = {"image": images, "one.image": images[:1], "two.cases.image": images[:2]}
    safetensors.numpy.save_file(
        {k: np.ascontiguousarray(v) for k, v in asked.items()}, tmp_path / "in"
    )

    done = each("--tensors", tmp_path / "in", "--out", tmp_path / "out")

    answers = safetensors.numpy.load_file(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert {name: rows.shape for name, rows in answers.items()} == {
        "log_probs": (3, 10),
        "one.log_probs": (1, 10),
        "two.cases.log_probs": (2, 10),
    }
    assert not (tmp_path / "out.partial").exists()


@pytest.mark.parametrize(
    "tensors",
    [
        {"image": np.zeros((1, 1, 28, 28), np.float32)},
        {"image": np.zeros((1, 3, 28, 28), np.uint8)},
        {"pixels": np.zeros((1, 1, 28, 28), np.uint8)},
        {"image": np.zeros((0, 1, 28, 28), np.uint8)},
    ],
    ids=["dtype", "channels", "name", "empty"],
)
def test_tensors_that_break_the_contract_are_refused(
    run: Runner, tmp_path: Path, tensors: dict[str, np.ndarray]
) -> None:
    safetensors.numpy.save_file(tensors, tmp_path / "in")

    done = run("--tensors", tmp_path / "in", "--out", tmp_path / "out")

    assert done.returncode == errors.ContractError.exit_code
    assert re.fullmatch(r"Error: .*image.*\n", done.stderr)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", [b"", b"1234567", b"\xff" * 64], ids=["empty", "short", "hostile"])
def test_a_file_that_is_no_safetensors_is_refused(run: Runner, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in").write_bytes(data)

    done = run("--tensors", tmp_path / "in", "--out", tmp_path / "out")

    assert done.returncode == errors.ContractError.exit_code
    assert re.fullmatch(r"Error: .*\n", done.stderr)


def test_the_selftest_passes_here(each: Runner) -> None:
    done = each("--selftest")

    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"selftest passed: \d+ vectors, worst .*, limit .*\n", done.stdout)


def test_the_selftest_fails_on_one_wrong_golden_number(run: Runner, tmp_path: Path) -> None:
    crate = Path(shutil.copytree(run.crate, tmp_path / "crate"))
    with safetensors.safe_open(crate / "golden.safetensors", "numpy") as file:
        names, metadata = file.keys(), file.metadata()
        tensors = {name: file.get_tensor(name) for name in names}
    name = next(name for name in tensors if name.startswith("noise") and "log_probs" in name)
    tensors[name][0, 0] *= 1.001
    safetensors.numpy.save_file(tensors, crate / "golden.safetensors", metadata)

    done = run("--selftest", crate=crate)

    assert done.returncode == errors.ParityError.exit_code
    assert name.removesuffix(".log_probs") in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--image"],
        ["--nonsense"],
        ["--selftest", "--image", "x"],
        ["--tensors", "x"],
        ["--json"],
    ],
    ids=str,
)
def test_a_wrong_command_line_exits_with_2(run: Runner, options: list[str]) -> None:
    done = run(*options)

    assert done.returncode == errors.UsageError.exit_code
    assert done.stdout == ""
    assert re.fullmatch(r"Error: .+; \S+ --help shows the options\n", done.stderr)


@pytest.mark.parametrize("options", [["--selftest"], ["--image", str(SAMPLE)]], ids=str)
def test_answers_that_cannot_be_written_are_one_line(run: Runner, options: list[str]) -> None:
    command = [*run.command, *run.own, *options]

    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)

    assert done.returncode == errors.RunnerError.exit_code
    assert re.fullmatch(r"Error: cannot write the answers: .*\n", done.stderr)


def test_a_glob_may_exclude_letters_as_a_shell_does(run: Runner, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "^.png"):
        shutil.copy(SAMPLE, tmp_path / name)

    for pattern in ("[^a].png", "[!a].png"):
        done = run("--image", pattern, cwd=tmp_path, crate=run.crate)

        assert [line.split()[-1] for line in done.stdout.splitlines()] == ["^.png", "b.png"]


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.save` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", ["run_torchscript.py", "run_libtorch"])
def test_a_model_that_fails_while_it_answers_is_one_line(
    sealed: Path, libtorch: Path, tmp_path: Path, name: str
) -> None:
    runner = Runner(name, Path(shutil.copytree(sealed, tmp_path / "crate")), libtorch)
    torch.jit.save(
        torch.jit.script(Failing()),
        runner.crate / "model.pt",
        _extra_files={"contract.json": DIGITS.dump()},
    )

    done = runner("--image", SAMPLE)

    assert done.returncode == errors.RunnerError.exit_code
    assert re.fullmatch(r"Error: .*failed: .*\n", done.stderr)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ImportError('libnone.so: cannot open shared object file')", "is broken: libnone"),
        ("raise ModuleNotFoundError(name='onnxruntime')", "onnxruntime is not installed"),
        ("import onnxruntime.capi", "is broken: no module named 'onnxruntime.capi'"),
    ],
)
def test_a_runtime_that_is_broken_is_not_called_missing(
    sealed: Path, tmp_path: Path, body: str, said: str
) -> None:
    (tmp_path / "onnxruntime.py").write_text(body)

    done = subprocess.run(
        [sys.executable, sealed / "run_onnx.py", "--image", SAMPLE],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == errors.RunnerError.exit_code
    assert re.fullmatch(rf"Error: .*{said}.*requirements-onnx\.txt\n", done.stderr)


def test_help_shows_an_example(run: Runner) -> None:
    done = run("--help")

    assert done.returncode == 0
    assert "example" in done.stdout.lower()


@pytest.mark.parametrize("damage", ["missing", "empty", "text"])
def test_a_missing_or_damaged_model_is_one_line(each: Runner, tmp_path: Path, damage: str) -> None:
    crate = Path(shutil.copytree(each.crate, tmp_path / "crate"))
    for name in ("model.pth", "model.pt", "model.onnx"):
        (crate / name).unlink() if damage == "missing" else (crate / name).write_text(
            "" if damage == "empty" else "not a model"
        )

    done = each("--image", SAMPLE, crate=crate)

    assert done.returncode == errors.RunnerError.exit_code
    assert re.fullmatch(r"Error: .*model\.\w+.*\n", done.stderr)


def test_a_closed_pipe_is_no_error(run: Runner) -> None:
    command = " ".join([*run.command, *run.own, "--image", f"'{SET}/*.png'", "| head -1"])

    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, timeout=120
    )

    assert done.stdout.startswith("Image is a ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("runtime", ["onnx", "torchscript", "eager"])
def test_the_front_door_takes_the_runtime_that_is_forced(
    sealed: Path, tmp_path: Path, runtime: str
) -> None:
    crate = Path(shutil.copytree(sealed, tmp_path / "crate"))
    model = {"onnx": "model.onnx", "torchscript": "model.pt", "eager": "model.pth"}[runtime]
    for other in {"model.onnx", "model.pt", "model.pth"} - {model}:
        (crate / other).unlink()

    done = subprocess.run(
        [sys.executable, crate / "run_mnist.py", "--runtime", runtime, "--image", SAMPLE],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.startswith("Image is a 7"), done.stderr


def test_exit_codes_are_those_of_the_errors(sealed: Path) -> None:
    source = (sealed / "runtime.py").read_text()
    match = re.search(r"^IMAGE, USAGE, CONTRACT, PARITY, RUNNER = ([\d, ]+)$", source, re.M)

    assert match
    codes = [int(code) for code in match[1].split(",")]
    kinds = (errors.UsageError, errors.ContractError, errors.ParityError, errors.RunnerError)
    assert codes == [1, *(kind.exit_code for kind in kinds)]

"""One command line for all programs: the same words, the same exit codes, the same answers."""

import json
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import preloaded
import pytest
import safetensors.numpy
import torch

from torchcrate import errors
from torchcrate.model.digits import DIGITS
from torchcrate.model.samples import DRAWINGS, patterns

pytestmark = pytest.mark.seconds(90)

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
        self.preloaded = name in ("run_eager.py", "run_torchscript.py")
        self.own = [] if python else ["--crate", str(crate)]  # C++ looks in the current folder

    def __call__(
        self, *options: object, cwd: Path | None = None, crate: Path | None = None
    ) -> Done:
        chosen = ["--crate", str(crate)] if crate else self.own
        if self.preloaded:
            return preloaded.run(self.command[1], *chosen, *options, cwd=cwd or Path())
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


def test_a_name_may_begin_with_a_dash(run: Runner, tmp_path: Path) -> None:
    for name in ("-7.png", "--json"):
        shutil.copy(SAMPLE, tmp_path / name)

    done = run("--image", "-*", "--image", "--json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    found = re.findall(r"^Image is a 7 .*  (.+)$", done.stdout, re.M)
    assert found == ["--json", "-7.png", "--json"]


def test_of_an_option_that_is_given_twice_the_last_counts(run: Runner) -> None:
    done = run("--crate", "nowhere", "--crate", run.crate, "--image", SAMPLE)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Image is a 7 ")


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


def test_a_huge_file_that_is_no_safetensors_is_not_read(run: Runner, tmp_path: Path) -> None:
    with (tmp_path / "in").open("wb") as file:
        file.write(b"not one ")
        file.truncate(2**40)

    done = run("--tensors", tmp_path / "in", "--out", tmp_path / "out")

    assert done.returncode == errors.ContractError.exit_code
    assert re.fullmatch(r"Error: cannot read .*\n", done.stderr)


def test_a_shape_that_no_array_can_have_is_refused(run: Runner, tmp_path: Path) -> None:
    header = b'{"image":{"dtype":"U8","shape":[0,1,%d,%d],"data_offsets":[0,0]}}' % (2**62, 2**62)
    (tmp_path / "in").write_bytes(len(header).to_bytes(8, "little") + header)

    done = run("--tensors", tmp_path / "in", "--out", tmp_path / "out")

    assert done.returncode == errors.ContractError.exit_code
    assert re.fullmatch(r"Error: .*\n", done.stderr)


def test_tensors_come_out_of_a_pipe(run: Runner, tmp_path: Path) -> None:
    safetensors.numpy.save_file({"image": np.zeros((1, 1, 2, 2), np.uint8)}, tmp_path / "in")

    done = piped(run, tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert safetensors.numpy.load_file(tmp_path / "out")["log_probs"].shape == (1, 10)


def test_a_dtype_that_numpy_lacks_is_refused_in_a_file_and_in_a_pipe(
    run: Runner, tmp_path: Path
) -> None:
    header = b'{"image":{"dtype":"BF16","shape":[1,1,1,1],"data_offsets":[0,2]}}'
    (tmp_path / "in").write_bytes(len(header).to_bytes(8, "little") + header + bytes(2))

    for done in (
        run("--tensors", tmp_path / "in", "--out", tmp_path / "out"),
        piped(run, tmp_path),
    ):
        assert done.returncode == errors.ContractError.exit_code
        assert re.fullmatch(r"Error: cannot read .* as safetensors: unknown dtype.+\n", done.stderr)


def piped(run: Runner, folder: Path) -> Done:
    """Let `in` come through a pipe, and the answers go to `out`."""
    command = [*run.command, *run.own, "--tensors", "/dev/stdin", "--out", folder / "out"]
    return subprocess.run(
        ["bash", "-c", 'cat "$1" | "${@:2}"', "-", folder / "in", *command],
        capture_output=True,
        text=True,
        check=False,
    )


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
        ["--json", "--selftest"],
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
    assert done.stderr == "Error: cannot write the answers: no space left on device\n"


def test_answers_that_nothing_is_open_for_are_one_line(run: Runner) -> None:
    command = shlex.join([*run.command, *run.own, "--selftest"])

    done = subprocess.run(
        ["bash", "-c", f"{command} >&-"], capture_output=True, text=True, check=False
    )

    assert done.returncode == errors.RunnerError.exit_code
    assert done.stderr == "Error: cannot write the answers: stdout is closed\n"


def test_a_glob_may_exclude_letters_as_a_shell_does(run: Runner, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "^.png"):
        shutil.copy(SAMPLE, tmp_path / name)

    for pattern in ("[^a].png", "[!a].png"):
        done = run("--image", pattern, cwd=tmp_path, crate=run.crate)

        assert [line.split()[-1] for line in done.stdout.splitlines()] == ["^.png", "b.png"]


# Each pattern with what it finds among NAMES; Python and C++ must both find exactly this.
NAMES = (
    *("1.png", "2.png", "a.png", "b.png", "d].png", "^.png", "é.png", "[x.png", ".hid.png"),
    *("sub/a.png", "sub/.hid.png"),
)
GLOBS = {
    "?.png": ["1.png", "2.png", "^.png", "a.png", "b.png", "é.png"],
    "[[:digit:]].png": ["d].png"],
    "[^a1-9].png": ["^.png", "b.png", "é.png"],
    "[!a1-9].png": ["^.png", "b.png", "é.png"],
    "[b-a].png": [],
    "[!]a]*.png": ["1.png", "2.png", "[x.png", "^.png", "b.png", "d].png", "é.png"],
    "[*.png": ["[x.png"],
    "*hid*": [],
    ".*": [".hid.png"],
    "**/a.p?g": ["sub/a.png"],
    "sub//*.png": ["sub//a.png"],
    "./s*/a*": ["./sub/a.png"],
    "a.png/*": [],
    "{a,b}.png": [],
    "": [],
}


def test_a_pattern_finds_the_same_files_in_both_languages(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in NAMES:
        shutil.copy(SAMPLE, tmp_path / name)
    options = [word for pattern in GLOBS for word in ("--image", pattern)]

    done = run("--json", *options, cwd=tmp_path, crate=run.crate)

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["path"], "label" in row) for row in rows] == [
        (path, path != pattern or path in NAMES)
        for pattern, found in GLOBS.items()
        for path in found or [pattern]
    ]


def test_names_that_are_no_utf8_are_found_and_told_apart(run: Runner, tmp_path: Path) -> None:
    names = [b"\xff.png", b"\xfe.png", b"\xe2\x82.png", "\U0001f600\x7f\n.png".encode()]
    for name in names:
        shutil.copy(os.fsencode(SAMPLE), os.fsencode(tmp_path) + b"/" + name)

    done = run("--json", "--image", "*.png", "--image", "?.png", cwd=tmp_path, crate=run.crate)

    said = [os.fsencode(json.loads(line)["path"]) for line in done.stdout.splitlines()]
    assert said == [*sorted(names), b"\xfe.png", b"\xff.png"]


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


def unusable(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return crates whose model cannot be opened, each with the line that must be said."""
    (folder / "loop").symlink_to("loop")
    name = folder / ("x" * 300)
    for model in ("model.pth", "model.pt", "model.onnx"):
        (folder / "folder" / model).mkdir(parents=True)
    return {
        "loop": (folder / "loop", "cannot read {}: too many levels of symbolic links"),
        "long name": (name, "cannot read {}: file name too long"),
        "folder": (
            folder / "folder",
            "{} is not a file: --crate names the folder of a crate",
        ),
    }


def test_a_crate_that_cannot_be_looked_at_is_one_line(each: Runner, tmp_path: Path) -> None:
    cases = unusable(tmp_path)
    wanted = "model.pt" if each.command[0].endswith("run_libtorch") else None
    by_name = {"run_eager.py": "model.pth", "run_torchscript.py": "model.pt"}

    for crate, line in cases.values():
        done = each("--selftest", crate=crate)
        model = wanted or by_name.get(Path(each.command[-1]).name, "model.onnx")
        assert done.stderr == f"Error: {line.format(crate / model)}\n"
        assert done.returncode == errors.RunnerError.exit_code


@pytest.mark.parametrize("out", [".", "/", "", "..", "new/", "x" * 300], ids=lambda out: out[:3])
def test_answers_that_have_no_place_are_one_line(run: Runner, tmp_path: Path, out: str) -> None:
    asked = {"image": np.zeros((1, 1, 2, 2), np.uint8)}
    safetensors.numpy.save_file(asked, tmp_path / "in")

    done = run("--tensors", tmp_path / "in", "--out", out, cwd=tmp_path, crate=run.crate)

    other = {"new/": "no such file or directory", "x" * 300: "file name too long"}
    said = other.get(out, "is a directory")
    assert done.stderr == f"Error: cannot write {out or '.'}: {said}\n"
    assert done.returncode == errors.RunnerError.exit_code
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_answers_go_into_a_pipe_and_to_what_a_link_names(run: Runner, tmp_path: Path) -> None:
    asked = {"image": np.zeros((1, 1, 2, 2), np.uint8)}
    safetensors.numpy.save_file(asked, tmp_path / "in")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("named")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)

    done = [
        run("--tensors", tmp_path / "in", "--out", tmp_path / name)
        for name in ("out", "pipe", "link")
    ]

    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 3
    want = (tmp_path / "out").read_bytes()
    assert os.read(reader, 2**16) == want
    assert (tmp_path / "link").readlink() == Path("named")
    assert (tmp_path / "named").read_bytes() == want
    assert len(list(tmp_path.iterdir())) == 5
    os.close(reader)


def test_a_full_device_is_told(run: Runner, tmp_path: Path) -> None:
    asked = {"image": np.zeros((1, 1, 2, 2), np.uint8)}
    safetensors.numpy.save_file(asked, tmp_path / "in")
    (tmp_path / "out").symlink_to("/dev/full")

    done = run("--tensors", tmp_path / "in", "--out", tmp_path / "out")

    said = f"Error: cannot write {tmp_path / 'out'}: no space left on device\n"
    assert (done.stderr, done.returncode) == (said, errors.RunnerError.exit_code)


SPEC = json.loads(DIGITS.dump())
BROKEN = {
    "none": None,
    "empty": "",
    "no JSON": "{",
    "no object": "[]",
    "nested": "[" * 200_000,
    "a number": '{"inputs":3}',
    "no labels": json.dumps({key: SPEC[key] for key in ("inputs", "outputs")}),
    "no axes": json.dumps(SPEC | {"inputs": [{"name": "image"}]}),
    "no words": json.dumps(SPEC | {"labels": [1, 2]}),
    "no dtype": json.dumps(SPEC | {"inputs": [SPEC["inputs"][0] | {"dtype": "bfloat16"}]}),
    "no size": json.dumps(SPEC | {"inputs": [SPEC["inputs"][0] | {"axes": ["batch", 0]}]}),
    "no range": json.dumps(SPEC | {"inputs": [SPEC["inputs"][0] | {"minimum": "0"}]}),
    "no limits": json.dumps(SPEC | {"sizes": {"batch": {"minimum": 2, "maximum": 1}}}),
    "one name": json.dumps(SPEC | {"outputs": SPEC["inputs"]}),
    "an optional output": json.dumps(SPEC | {"outputs": [SPEC["outputs"][0] | {"optional": True}]}),
}


def with_contract(crate: Path, text: str | None) -> None:
    """Let model.onnx and model.pth carry another contract, or none."""
    model = onnx.load(crate / "model.onnx")
    del model.metadata_props[:]
    if text is not None:
        onnx.helper.set_model_props(model, {"contract": text})
    onnx.save(model, crate / "model.onnx")
    with zipfile.ZipFile(crate / "model.pth") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(crate / "model.pth", "w") as archive:
        for name, data in records.items():
            if not name.endswith("contract.json"):
                archive.writestr(name, data)
        if text is not None:
            archive.writestr("model/extra/contract.json", text)


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_with_a_malformed_contract_is_one_line(
    sealed: Path, libtorch: Path, tmp_path: Path, name: str
) -> None:
    crate = Path(shutil.copytree(sealed, tmp_path / "crate"))
    with_contract(crate, BROKEN[name])
    said = "it carries no contract" if name in ("none", "empty") else "not a contract: "
    runners = ("run_onnx.py", "run_eager.py") if name in ("none", "a number") else ("run_onnx.py",)

    for program in runners:
        done = Runner(program, crate, libtorch)("--image", SAMPLE)
        assert re.fullmatch(rf"Error: .* refused \S+: {said}.*\n", done.stderr)
        assert done.returncode == errors.RunnerError.exit_code


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": ["a"]},
        {"outputs": [SPEC["outputs"][0] | {"axes": ["batch", 11]}]},
        {"outputs": [SPEC["outputs"][0] | {"dtype": "float64"}]},
    ],
    ids=["one label", "axes", "dtype"],
)
def test_a_contract_that_the_model_does_not_keep_is_one_line(
    sealed: Path, libtorch: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    crate = Path(shutil.copytree(sealed, tmp_path / "crate"))
    with_contract(crate, json.dumps(SPEC | changed))

    done = Runner("run_onnx.py", crate, libtorch)("--image", SAMPLE)

    assert re.fullmatch(r"Error: .*(each label|the contract has).*\n", done.stderr)
    assert done.returncode == errors.ContractError.exit_code
    assert done.stdout == ""


@pytest.mark.parametrize("options", [["--image", str(SET / "*.png")], ["--selftest"]], ids=str)
def test_a_closed_pipe_is_no_error(run: Runner, options: list[str]) -> None:
    command = shlex.join([*run.command, *run.own, *options])

    done = subprocess.run(
        ["bash", "-c", f"({command}; echo code $? >&2) | true"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.stderr == "code 0\n"


def test_an_error_that_nobody_reads_has_its_code_all_the_same(run: Runner) -> None:
    command = shlex.join([*run.command, *run.own, "--image", "none.png"])

    done = subprocess.run(
        ["bash", "-c", f"({command} 2>&1; echo code $? >&2) | true"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.stderr == "code 1\n"


def test_a_program_leaves_nothing_at_home(each: Runner, tmp_path: Path) -> None:
    """ONNX Runtime would put a number of the machine there, and send it to its makers."""
    home = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    home |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [*each.command, *each.own, "--image", str(SAMPLE)]

    done = subprocess.run(command, env=home, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_exit_codes_are_those_of_the_errors(sealed: Path) -> None:
    source = (sealed / "runtime.py").read_text()
    match = re.search(r"^IMAGE, USAGE, CONTRACT, PARITY, RUNNER = ([\d, ]+)$", source, re.M)

    assert match
    codes = [int(code) for code in match[1].split(",")]
    kinds = (errors.UsageError, errors.ContractError, errors.ParityError, errors.RunnerError)
    assert codes == [1, *(kind.exit_code for kind in kinds)]

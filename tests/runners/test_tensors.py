"""--tensors and --out: a file of safetensors in, one out, whole or not at all."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from handmade import contract, script, tensor
from programs import Ask, Done, Runner

from torchcrate import errors
from torchcrate.model.samples import patterns


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


@pytest.mark.parametrize("name", ["run_eager.py", "run_torchscript.py", "run_libtorch"])
def test_tensors_may_lack_what_is_optional_and_be_empty(
    ask: Ask, tagger: Path, tmp_path: Path, name: str
) -> None:
    asked = {
        "a.tokens": np.array([[1, 2]]),
        "b.tokens": np.array([[1, 2]]),
        "b.mask": np.array([[False, True]]),
        "tokens": np.zeros((0, 4), np.int64),
    }
    safetensors.numpy.save_file(asked, tmp_path / "in")

    done = ask(name, tagger, "--tensors", tmp_path / "in", "--out", tmp_path / "out")

    got = safetensors.numpy.load_file(tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert got["a.total"].shape == ()
    assert got["a.kept"].tolist() == [[True, True]]
    assert got["b.scores"].tolist() == [[[0, 0], [2, 4]]]
    assert got["scores"].shape == (0, 4, 2)


def test_empty_tensors_are_read_whatever_their_other_axes_are(ask: Ask, tmp_path: Path) -> None:
    sides = [tensor("x", "float32", ["n", "m"])], [tensor("y", "float32", ["n", "m"])]
    said = contract(*sides, sizes={"n": {"minimum": 0}, "m": {"minimum": 0}})
    crate = script(tmp_path / "crate", said, "def forward(self, x):\n return x + 1")
    empty = {"a.x": np.zeros((3, 0), np.float32), "b.x": np.zeros((0, 3), np.float32)}
    safetensors.numpy.save_file(empty, tmp_path / "in")

    done = ask("run_libtorch", crate, "--tensors", tmp_path / "in", "--out", tmp_path / "out")

    assert (done.returncode, done.stderr) == (0, "")
    answers = safetensors.numpy.load_file(tmp_path / "out")
    assert {name: one.shape for name, one in answers.items()} == {"a.y": (3, 0), "b.y": (0, 3)}


def test_a_folder_that_is_in_the_way_of_the_answers_is_left(run: Runner, tmp_path: Path) -> None:
    asked = {"image": np.zeros((1, 1, 2, 2), np.uint8)}
    safetensors.numpy.save_file(asked, tmp_path / "in")
    (tmp_path / "out.partial").mkdir()

    assert run("--tensors", tmp_path / "in", "--out", tmp_path / "out").returncode != 0
    assert (tmp_path / "out.partial").is_dir()

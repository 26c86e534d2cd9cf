"""One command line for all programs: the same words, the same exit codes, the same answers."""

import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from programs import RUNNERS, SAMPLE, SET, Runner

from torchcrate import errors


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


def test_of_an_option_that_is_given_twice_the_last_counts(run: Runner) -> None:
    done = run("--crate", "nowhere", "--crate", run.crate, "--image", SAMPLE)

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Image is a 7 ")


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


def test_help_shows_an_example(run: Runner) -> None:
    done = run("--help")

    assert done.returncode == 0
    assert "example" in done.stdout.lower()


def test_exit_codes_are_those_of_the_errors(sealed: Path) -> None:
    source = (sealed / "runtime.py").read_text()
    match = re.search(r"^IMAGE, USAGE, CONTRACT, PARITY, RUNNER = ([\d, ]+)$", source, re.M)

    assert match
    codes = [int(code) for code in match[1].split(",")]
    kinds = (errors.UsageError, errors.ContractError, errors.ParityError, errors.RunnerError)
    assert codes == [1, *(kind.exit_code for kind in kinds)]

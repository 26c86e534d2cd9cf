"""What a program finds around it, and leaves there: streams, settings, a home."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from programs import SAMPLE, SET, Runner

from torchcrate import errors


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


@pytest.mark.parametrize("given", [{}, {"OPENBLAS_THREAD_TIMEOUT": "20"}], ids="given={}".format)
def test_threads_that_wait_do_not_spin_unless_somebody_says_so(
    sealed: Path, given: dict[str, str]
) -> None:
    """Those of numpy would, on every core but one, from its import on."""
    found = {"OMP_WAIT_POLICY": "passive", "OPENBLAS_THREAD_TIMEOUT": "4", **given}
    kept = {name: value for name, value in os.environ.items() if name not in found}
    load = "lambda *_: exit(str(os.environ))"
    program = f"import os; from command import main; main('onnx', {load}, ['--selftest'])"

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=sealed,
        env=kept | given,
        capture_output=True,
        text=True,
        check=False,
    )

    for name, value in found.items():
        assert f"'{name}': '{value}'" in done.stderr

"""Ctrl-C ends a command at once, in one line that says what stands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from torchcrate import errors
from torchcrate.release.manifest import MANIFEST, YANKED
from torchcrate.release.publish import publish

LONG = 60  # seconds that the server hangs; far more than the test waits


SOON = 10  # seconds within which the command must have ended, busy as the machine may be


def interrupted(
    gitlab: Any, method: str, file: str, *arguments: str | Path, kind: str
) -> "subprocess.CompletedProcess":
    """Run a command, and press Ctrl-C when its request for `file` meets a fault of a kind."""
    asked = gitlab.asked(method, file)
    gitlab.fault(kind, times=0, method=method, file=f"/{file}", seconds=LONG)
    command = [Path(sys.executable).with_name("torchcrate"), *arguments]
    with subprocess.Popen(
        command,
        env={**os.environ, "GITLAB_TOKEN": "glpat-developer"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        try:
            while gitlab.asked(method, file) == asked:
                time.sleep(0.01)
            time.sleep(0.1)
            client.send_signal(signal.SIGINT)
            said = client.communicate(timeout=SOON)
        finally:
            client.kill()
    return subprocess.CompletedProcess(command, client.returncode, *said)


@pytest.mark.parametrize("kind", ["hang", "503"])  # waiting for an answer, and for the next try
@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("CMakeLists.txt", "1 files of mnist-net 1.0.0 were sent"),
        ("model.onnx", "no reader sees them: publish again"),
        (MANIFEST, "readers may see mnist-net 1.0.0 already: publish again"),
    ],
)
def test_ctrl_c_says_what_stands_and_the_next_run_finishes(
    gitlab: Any, crate: Path, file: str, kind: str, words: str
) -> None:
    done = interrupted(gitlab, "PUT", file, "publish", crate, "--to", gitlab.project, kind=kind)

    assert done.returncode == errors.INTERRUPTED
    assert done.stderr.splitlines()[-1].startswith("Error: interrupted; ")
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert gitlab.visible() == {}
    gitlab.heal()
    publish(crate, gitlab.registry())
    assert gitlab.visible()


@pytest.mark.parametrize(
    ("arguments", "method", "file", "words"),
    [
        (["versions", "mnist-net"], "GET", MANIFEST, "nothing half-written was left"),
        (["pull", "mnist-net@1.0.0"], "GET", "model.onnx", "nothing half-written was left"),
        (
            ["yank", "mnist-net@1.0.0", "--why", "slow"],
            "PUT",
            YANKED,
            "the mark of mnist-net 1.0.0",
        ),
        (["release", "mnist-net@1.0.0"], "POST", "releases", "the release page of v1.0.0"),
    ],
    ids=["versions", "pull", "yank", "release"],
)
def test_ctrl_c_ends_every_command_while_the_server_hangs(
    gitlab: Any,
    crate: Path,
    tmp_path: Path,
    arguments: list[str],
    method: str,
    file: str,
    words: str,
) -> None:
    publish(crate, gitlab.registry())
    if arguments[0] == "pull":
        arguments = [*arguments, "--out", str(tmp_path / "out"), "--no-cache"]

    done = interrupted(gitlab, method, file, *arguments, "--from", gitlab.project, kind="hang")

    assert done.returncode == errors.INTERRUPTED
    assert done.stdout == ""
    assert done.stderr.splitlines()[-1].startswith(f"Error: interrupted; {words}")
    assert "try 2 of" not in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()

"""Ctrl-C ends a publish at once, in one line that says what stands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from torchcrate import errors
from torchcrate.release.manifest import MANIFEST
from torchcrate.release.publish import publish

LONG = 60  # seconds that the server hangs; far more than the test waits


def interrupted(gitlab: Any, crate: Path, file: str, kind: str) -> "subprocess.CompletedProcess":
    """Publish with the command, and press Ctrl-C when `file` is being sent."""
    gitlab.fault(kind, times=0, method="PUT", file=f"/{file}", seconds=LONG)
    command = [Path(sys.executable).with_name("torchcrate"), "publish", crate, "--to"]
    with subprocess.Popen(
        [*command, gitlab.project],
        env={**os.environ, "GITLAB_TOKEN": "glpat-developer"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        while not gitlab.asked(file):
            time.sleep(0.01)
        time.sleep(0.1)
        client.send_signal(signal.SIGINT)
        said = client.communicate(timeout=LONG / 3)
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
    done = interrupted(gitlab, crate, file, kind)

    assert done.returncode == errors.INTERRUPTED
    assert done.stderr.splitlines()[-1].startswith("Error: interrupted; ")
    assert words in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert gitlab.visible() == {}
    gitlab.heal()
    publish(crate, gitlab.registry())
    assert gitlab.visible()

"""What a command shows while it works: a line a step, on a terminal a bar that moves."""

import os
import pty
import re
import subprocess
import sys

WORK = """
import time
from torchcrate.commands.show import notice, steps
with steps("export") as step:
    step("model.pt")
    time.sleep(0.9)
    notice("something to know")
    step("model.onnx")
"""


def test_a_step_that_lasts_moves_a_bar_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen([sys.executable, "-c", WORK], stderr=theirs):
        os.close(theirs)
        said = b""
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:  # Linux says so that the other side is closed
            pass
    os.close(ours)

    lines = said.decode().split("\r\n")
    moves = [part for part in lines[0].split("\r\033[K") if "[" in part]
    assert len(set(moves)) > 1
    assert all("export: model.pt  " in move for move in moves)
    left = [re.sub(r"\d+ s", "N s", line.split("\r\033[K")[-1]) for line in lines]
    assert left == ["something to know", "export: model.pt, N s", "export: model.onnx, N s", ""]


def test_elsewhere_each_step_is_one_line() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, check=True)

    assert done.stderr.splitlines() == [
        "export: model.pt",
        "something to know",
        "export: model.onnx",
    ]

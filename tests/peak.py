"""How much memory each process of a command holds at most, step by step."""

import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

_PAUSE = 0.02  # seconds between looks


@dataclass
class Peaks:
    """What a command held.

    Attributes:
        status: Its exit status, as `os.waitstatus_to_exitcode` gives it.
        largest: Bytes that the largest single process held at most: the command or any of its
            children, whole life long, as the system counts it for `wait4`.
        steps: Bytes by step (what the command last said on stderr) and process.
        said: All that it said on stderr.
    """

    status: int = 0
    largest: int = 0
    steps: dict[tuple[str, str], int] = field(default_factory=dict)
    said: str = ""


def peaks(*command: str | Path, cwd: Path) -> Peaks:
    """Run a command to its end, and look at all of its processes meanwhile."""
    found, ended = Peaks(), threading.Event()
    with subprocess.Popen(
        [*map(str, command)], cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        step = [""]

        def look() -> None:
            while not ended.wait(_PAUSE):
                for name, held in _held(process.pid):
                    key = (step[0], name)
                    found.steps[key] = max(found.steps.get(key, 0), held)

        watch = threading.Thread(target=look)
        watch.start()
        started = time.monotonic()
        assert process.stderr is not None
        for line in process.stderr:
            found.said += line
            step[0] = line.strip().partition(" holds: ")[0]
            print(f"{time.monotonic() - started:6.0f} s  {line}", end="", file=sys.stderr)
        _, status, used = os.wait4(process.pid, 0)
        ended.set()
        watch.join()
        process.returncode = found.status = os.waitstatus_to_exitcode(status)
        found.largest = used.ru_maxrss * 1024  # Linux counts in KiB
    return found


def _held(root: int) -> list[tuple[str, int]]:
    """Return name and bytes of a process and of all that came of it."""
    found, waiting = [], [root]
    while waiting:
        process = Path("/proc") / str(waiting.pop())
        try:
            for task in (process / "task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
            held = re.search(r"VmRSS:\s+(\d+) kB", (process / "status").read_text())
            words = (process / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):  # it has ended meanwhile
            continue
        names = [Path(os.fsdecode(word)).name for word in words if word]
        started = [name for name in names if not re.match(r"-|python[\d.]*$", name)]
        if held and started:
            found.append((started[0], int(held[1]) * 1024))
    return found

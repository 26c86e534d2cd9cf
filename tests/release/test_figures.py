"""Publishing is timed beside the tutorial's serial `curl` lines, in one run, as ratios."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
RUNS = 7
TOKEN = "glpat-developer"
CURL = (
    "set -e; for file in $1/*; do curl --silent --show-error --fail-with-body --output /dev/null "
    '--header "PRIVATE-TOKEN: $GITLAB_TOKEN" --upload-file "$file" "$2/${file##*/}"; done'
)


@contextmanager
def far(port: int, rtt: float) -> Iterator[int]:
    """Give a port from which the server on `port` is `rtt` seconds away and back."""
    command = [sys.executable, str(HERE / "distance.py"), "--to", str(port), "--rtt", str(rtt)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as relay:
        assert relay.stdout
        yield int(relay.stdout.readline())
        relay.terminate()


def seconds(command: list[Any]) -> float:
    """Return how long a command takes as a whole process."""
    started = time.monotonic()
    env = {**os.environ, "GITLAB_TOKEN": TOKEN}
    subprocess.run(command, env=env, check=True, capture_output=True)
    return time.monotonic() - started


@pytest.mark.proof
def test_publishing_takes_no_longer_than_curl_while_it_checks_every_file(
    gitlab: Any, sealed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = Path(sys.executable).with_name("torchcrate")
    sizes = [path.stat().st_size for path in sealed.iterdir()]
    lines = [
        f"{len(sizes)} files, {sum(sizes) / 1e6:.1f} MB, {RUNS} pairs",
        "round trip  curl   torchcrate  torchcrate / curl",
    ]
    for rtt in (0, 0.05):
        with far(gitlab.port, rtt) as port:
            project = f"http://127.0.0.1:{port}/api/v4/projects/42"
            package = f"{project}/packages/generic/mnist-net/0.1.0"
            commands: dict[str, Callable[[], float]] = {
                "curl": lambda p=package: seconds(["bash", "-c", CURL, "curl", sealed, p]),
                "ours": lambda p=project: seconds([program, "publish", sealed, "--to", p]),
            }
            took: dict[str, list[float]] = {name: [] for name in commands}
            for _ in range(RUNS):
                for name, run in commands.items():
                    gitlab.reset()
                    took[name].append(run())
        ratios = [ours / curl for ours, curl in zip(took["ours"], took["curl"], strict=True)]
        curl, ours, ratio = (statistics.median(row) for row in (*took.values(), ratios))
        lines.append(
            f"{1000 * rtt:3.0f} ms      {curl:5.2f} s  {ours:5.2f} s     "
            f"{ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    with capsys.disabled():
        print("", *lines, sep="\n")

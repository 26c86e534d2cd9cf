"""Each piece of work is in a process of its own, and none outlives who asked for it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from torchcrate.errors import ContractError, ExportError
from torchcrate.fleet.processes import Done, each


def done(*work: Callable[[], Any], at_once: int = 2) -> list[Done[Any]]:
    """Return how each piece ended, in the order given."""
    with closing(each(work, at_once)) as ended:
        return sorted(ended, key=lambda one: one.number)


def killed(number: int) -> None:
    os.kill(os.getpid(), number)


def refused(error: BaseException) -> None:
    raise error


def crash() -> None:
    import ctypes

    ctypes.string_at(0)


def test_what_work_returns_comes_back_in_its_place() -> None:
    sizes = [5, 300_000, 0]  # of more than a pipe holds, too

    found = done(*[partial(bytes, size) for size in sizes])

    assert [len(one.value) for one in found] == sizes
    assert [one.error for one in found] == [None, None, None]


def test_a_crate_error_stays_what_it_is() -> None:
    (found,) = done(partial(refused, ContractError("x has dtype int8, not int64")))

    assert type(found.error) is ContractError
    assert str(found.error) == "x has dtype int8, not int64"


@pytest.mark.parametrize(
    ("work", "words"),
    [
        (partial(refused, KeyError("oh")), "KeyError: 'oh'"),
        (partial(sys.exit, 3), "SystemExit: 3"),
        (partial(refused, MemoryError()), "not enough memory"),
        (partial(os._exit, 0), "ended by itself, with exit code 0"),
        (partial(killed, signal.SIGKILL), "killed by SIGKILL: if memory ran out, do fewer"),
        (partial(killed, signal.SIGTERM), "killed by SIGTERM"),
        (crash, "killed by SIGSEGV"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_ends_a_process_is_one_line_and_ends_no_other(
    work: Callable[[], None], words: str
) -> None:
    bad, good = done(work, partial(int, "7"), at_once=1)

    assert type(bad.error) is ExportError
    assert words in str(bad.error)
    assert "\n" not in str(bad.error)
    assert good.value == 7


def test_a_crash_is_placed_in_the_users_own_code(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text("import ctypes\n\ndef crash():\n    ctypes.string_at(0)\n")
    code = (
        "import theirs\nfrom torchcrate.fleet.processes import each\n"
        "print(*(one.error for one in each([theirs.crash], 1)))"
    )

    said = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert said.stdout == "its process was killed by SIGSEGV at theirs.py:4\n"
    assert said.stderr == ""


def test_what_work_prints_is_kept_with_it(capfd: pytest.CaptureFixture[str]) -> None:
    def shout() -> None:
        print("from Python")
        os.system("echo from a shell >&2")

    def whisper() -> None:
        pass

    loud, quiet = done(shout, whisper)

    assert loud.printed.splitlines() == ["from Python", "from a shell"]
    assert quiet.printed == ""
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("at_once", [1, 3])
def test_no_more_work_at_once_than_asked_for(at_once: int, tmp_path: Path) -> None:
    counted = tmp_path / "counted"
    counted.mkdir()

    def count(number: int) -> int:
        mine = tmp_path / str(number)
        mine.touch()
        seen, until = 0, time.monotonic() + 10
        while not any(counted.iterdir()) and time.monotonic() < until:
            seen = len(list(tmp_path.iterdir())) - 1
            if seen >= at_once:
                time.sleep(0.1)  # for one too many to come
                seen = len(list(tmp_path.iterdir())) - 1
                (counted / str(number)).touch()
        mine.unlink()
        return seen

    found = done(*[partial(count, number) for number in range(7)], at_once=at_once)

    assert max(one.value for one in found) == at_once


TREE = """
import os, pathlib, sys, time
from contextlib import closing
from torchcrate.fleet.processes import each

def work():
    mine = pathlib.Path(f"{os.getpid()}.partial")
    try:
        mine.touch()
        time.sleep(60)
    finally:
        time.sleep(0.2)  # whoever cleans up is given time
        mine.unlink()

try:
    with closing(each([work] * 3, 2)) as ended:
        list(ended)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("whole_group", [True, False], ids=["terminal", "parent alone"])
def test_ctrl_c_lets_all_clean_up_and_leaves_nobody(whole_group: bool, tmp_path: Path) -> None:
    parent, children = _started(tmp_path)

    if whole_group:
        os.killpg(parent.pid, signal.SIGINT)
    else:
        os.kill(parent.pid, signal.SIGINT)
    said, _ = parent.communicate(timeout=20)

    assert said == "interrupted\n"
    assert not any(map(_lives, children))
    assert list(tmp_path.iterdir()) == []


def test_no_process_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent, children = _started(tmp_path)

    parent.kill()
    parent.communicate()

    until = time.monotonic() + 20
    while any(map(_lives, children)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_lives, children))
    assert list(tmp_path.iterdir()) == []


def test_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    deaf = TREE.replace("time.sleep(0.2)", "time.sleep(60)")
    deaf = f"from torchcrate.fleet import processes\nprocesses._GRACE = 0.3\n{deaf}"
    parent, children = _started(tmp_path, deaf)

    os.kill(parent.pid, signal.SIGINT)
    parent.communicate(timeout=20)

    assert not any(map(_lives, children))


def _started(folder: Path, code: str = TREE) -> "tuple[subprocess.Popen[str], list[int]]":
    """Start a parent with two children at work; return it with their numbers."""
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    until = time.monotonic() + 20
    while len(list(folder.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    children = [int(path.stem) for path in folder.iterdir()]
    assert len(children) == 2
    return parent, children


def _lives(process: int) -> bool:
    """Return whether a process is there and not just a number that its parent has not read."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

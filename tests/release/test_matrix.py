"""Every fault at every request of a publish: what readers see meanwhile, and what is left.

A cell is one fault at one request. The version is published into it, everything a
reader saw after each single request is judged, the fault is healed, the version is
published again, and judged again.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from torchcrate.errors import CrateError, RegistryError
from torchcrate.export.artifact import sha256_of
from torchcrate.release.manifest import MANIFEST
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.retry import Patience

KILLS = ("kill-before", "kill-after")
FAULTS = (
    *KILLS,
    *("refuse", "reset", "lost", "damage", "hang", "broken-json"),
    *("401", "403", "404", "409", "413", "429", "429-date", "500", "502", "503", "504"),
)
VERSION = "mnist-net@1.0.0"
PATIENCE = Patience(tries=2, total=20, first=0.01, longest=0.05, connect=2, silence=0.3)
SECONDS = {"hang": 0.6, "refuse": 0.3}
CLIENT = """
import sys
from pathlib import Path
from torchcrate.release.publish import publish
from torchcrate.release.registry import open_registry
sys.stdin.readline()
with open_registry(sys.argv[1], {"GITLAB_TOKEN": "glpat-developer"}) as registry:
    publish(Path(sys.argv[2]), registry)
"""

SURVIVED, REFUSED, BROKEN = "s", "r", "B"


class BrokenError(AssertionError):
    """A reader saw, or was left with, what must never be."""


@dataclass(frozen=True)
class Cell:
    """One fault at one request.

    Attributes:
        fault: See `gitlab_faults`.
        at: Which request it hits, from 1.
        lasting: Whether it hits every request from there on, until it is healed.
        duplicates: Whether the server takes a second file of one name.
    """

    fault: str
    at: int
    lasting: bool = False
    duplicates: bool = True


def judge(cell: Cell, gitlab: Any, crate: Path, scratch: Path) -> str:
    """Return whether the first publish survived the fault or was refused cleanly.

    Raises:
        BrokenError: If a reader ever saw a part, a released version vanished, a sound
            file was stored twice, or the second run did not finish the job.
    """
    whole = {path.name: sha256_of(path) for path in crate.iterdir()}
    gitlab.reset(duplicates=cell.duplicates)
    verdict = _first(cell, gitlab, crate)
    time.sleep(SECONDS.get(cell.fault, 0))  # until the server listens, and is done with what hung
    gitlab.heal()
    try:
        publish(crate, gitlab.registry(patience=PATIENCE))
    except RegistryError as error:
        # What is damaged there may neither be covered nor deleted by a Developer.
        if cell.duplicates or cell.fault != "damage" or "next version" not in str(error):
            raise BrokenError(f"{cell}: the second run failed: {error}") from error
        _watch(cell, gitlab, whole)
        return REFUSED
    _watch(cell, gitlab, whole)
    if gitlab.visible() != {VERSION: whole}:
        raise BrokenError(f"{cell}: readers are left with {gitlab.visible()}")
    pull(VERSION, gitlab.registry(patience=PATIENCE), scratch / "pulled")
    return verdict


def _first(cell: Cell, gitlab: Any, crate: Path) -> str:
    """Publish into the fault."""
    where = {"at": cell.at, "times": 0 if cell.lasting else 1}
    where["seconds"] = SECONDS.get(cell.fault, 0)
    if cell.fault in KILLS:
        command = [sys.executable, "-c", CLIENT, gitlab.project, str(crate)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            gitlab.fault(cell.fault, pid=client.pid, **where)
            client.communicate(b"go\n", timeout=60)
        return REFUSED if client.returncode else SURVIVED
    gitlab.fault(cell.fault, **where)
    try:
        publish(crate, gitlab.registry(patience=PATIENCE))
    except CrateError as error:
        if "\n" in str(error):
            raise BrokenError(f"{cell}: more than a line: {error}") from error
        return REFUSED
    return SURVIVED


def _watch(cell: Cell, gitlab: Any, whole: dict[str, str]) -> None:
    """Judge what a reader saw after every request, and how often each file stands."""
    seen = False
    for entry in gitlab.log():
        shown = entry["visible"].get(VERSION)
        if shown is None and seen:
            raise BrokenError(f"{cell}: a published version vanished at {entry['path']}")
        seen = seen or shown is not None
        # A damaged manifest shows the version, but nobody takes it for one.
        if shown is not None and shown != whole and shown[MANIFEST] == whole[MANIFEST]:
            raise BrokenError(f"{cell}: a part was visible after {entry['path']}: {shown}")
    for package in gitlab.packages():
        stored = [(file["file_name"], file["file_sha256"]) for file in package["files"]]
        twice = {file for file in stored if stored.count(file) > 1}
        if any(whole[name] == sha256 for name, sha256 in twice):
            raise BrokenError(f"{cell}: sound files stand twice: {sorted(twice)}")


def rows() -> Iterator[tuple[str, bool, bool]]:
    """Give the lines of the matrix: fault, lasting, duplicates."""
    for duplicates in (True, False):
        for fault in FAULTS:
            for lasting in (False, True):
                if fault not in KILLS or not lasting:  # the dead ask nothing more
                    yield fault, lasting, duplicates


@pytest.fixture
def count(gitlab: Any, crate: Path) -> int:
    """How many requests a publish makes when nothing goes wrong."""
    publish(crate, gitlab.registry(patience=PATIENCE))
    return len(gitlab.log())


@pytest.mark.parametrize(("fault", "lasting", "duplicates"), list(rows()))
def test_a_fault_leaves_no_version_or_the_whole_version(
    gitlab: Any,
    crate: Path,
    tmp_path: Path,
    count: int,
    fault: str,
    lasting: bool,
    duplicates: bool,
) -> None:
    for at in (1, count // 2, count):
        verdict = judge(Cell(fault, at, lasting, duplicates), gitlab, crate, tmp_path)

        assert verdict in (SURVIVED, REFUSED)


@pytest.mark.proof
def test_every_fault_at_every_request(
    gitlab: Any, crate: Path, tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts, broken = "", []
    lines = [f"{'fault':12} {'lasts':5} {'duplicates':10}  request 1 to {count}"]
    for fault, lasting, duplicates in rows():
        said = ""
        for at in range(1, count + 1):
            try:
                said += judge(Cell(fault, at, lasting, duplicates), gitlab, crate, tmp_path)
            except BrokenError as error:
                said += BROKEN
                broken.append(str(error))
        verdicts += said
        taken = "taken" if duplicates else "refused"
        lines.append(f"{fault:12} {'on' if lasting else 'once':5} {taken:10}  {said}")
    for verdict, words in (
        (SURVIVED, "survived"),
        (REFUSED, "refused cleanly"),
        (BROKEN, "broken"),
    ):
        lines.append(f"{verdicts.count(verdict):5} {verdict}  {words}")
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert broken == []

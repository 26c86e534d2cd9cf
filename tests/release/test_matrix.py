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

pytestmark = pytest.mark.seconds(145)

KILLS = ("kill-before", "kill-after")
FAULTS = (
    *KILLS,
    *("refuse", "reset", "lost", "damage", "hang", "broken-json"),
    *("401", "403", "404", "409", "413", "429", "429-date", "500", "502", "503", "504"),
)
SAMPLE = ("kill-after", "lost", "damage", "500")  # of the faults, where set-ups are many
VERSION = "mnist-net@1.0.0"
PATIENCE = Patience(tries=2, total=20, first=0.01, longest=0.05, connect=2, silence=0.3)
SECONDS = {"hang": 0.6, "refuse": 0.3}
CLIENT = """
import sys
from pathlib import Path
from torchcrate.release.publish import publish
from torchcrate.release.registry import open_registry
sys.stdin.readline()
with open_registry(sys.argv[1], {sys.argv[3]: sys.argv[4]}) as registry:
    publish(Path(sys.argv[2]), registry)
"""
TOKENS = {
    "PRIVATE-TOKEN": ("GITLAB_TOKEN", "glpat-developer"),
    "JOB-TOKEN": ("CI_JOB_TOKEN", "glcbt-job"),
    "DEPLOY-TOKEN": ("GITLAB_DEPLOY_TOKEN", "gldt-write"),
}
OLD = {"select": False, "checksum_header": False, "by_id": False}
SETUPS: dict[str, tuple[str, dict[str, bool]]] = {
    "a job's token": ("JOB-TOKEN", {}),
    "a deploy token": ("DEPLOY-TOKEN", {}),
    "storage by redirect": ("PRIVATE-TOKEN", {"redirect": True}),
    "an old server": ("JOB-TOKEN", OLD),
    "an old server, no duplicates": ("PRIVATE-TOKEN", {**OLD, "duplicates": False}),
}
"""Other set-ups than a personal token on a new server: the token's header, the server's options."""

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
        setup: A key of `SETUPS`; empty for a personal token on a new server.
    """

    fault: str
    at: int
    lasting: bool = False
    duplicates: bool = True
    setup: str = ""

    @property
    def header(self) -> str:
        """The header of the token."""
        return SETUPS[self.setup][0] if self.setup else "PRIVATE-TOKEN"

    @property
    def options(self) -> dict[str, bool]:
        """How the server is set up."""
        return {"duplicates": self.duplicates, **(SETUPS[self.setup][1] if self.setup else {})}

    def registry(self, gitlab: Any) -> Any:
        """Return a client with the cell's token."""
        return gitlab.registry(TOKENS[self.header][1], self.header, PATIENCE)


def judge(cell: Cell, gitlab: Any, crate: Path, scratch: Path) -> str:
    """Return whether the first publish survived the fault or was refused cleanly.

    Raises:
        BrokenError: If a reader ever saw a part, a released version vanished, a sound
            file was stored twice, or the second run did not finish the job.
    """
    whole = {path.name: sha256_of(path) for path in crate.iterdir()}
    gitlab.reset(**cell.options)
    verdict = _first(cell, gitlab, crate)
    time.sleep(SECONDS.get(cell.fault, 0))  # until the server listens, and is done with what hung
    gitlab.heal()
    try:
        publish(crate, cell.registry(gitlab))
    except RegistryError as error:
        # What is damaged there may neither be covered nor deleted by a Developer.
        if cell.options["duplicates"] or cell.fault != "damage" or "next version" not in str(error):
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
        command = [sys.executable, "-c", CLIENT, gitlab.project, str(crate), *TOKENS[cell.header]]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as client:
            gitlab.fault(cell.fault, pid=client.pid, **where)
            client.communicate(b"go\n", timeout=60)
        return REFUSED if client.returncode else SURVIVED
    gitlab.fault(cell.fault, **where)
    try:
        publish(crate, cell.registry(gitlab))
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


@pytest.mark.parametrize("fault", SAMPLE)
@pytest.mark.parametrize("setup", SETUPS)
def test_it_holds_with_other_tokens_and_servers(
    gitlab: Any, crate: Path, tmp_path: Path, fault: str, setup: str
) -> None:
    count = count_of(gitlab, crate, setup)

    for at in (1, count // 2, count):
        judge(Cell(fault, at, setup=setup), gitlab, crate, tmp_path)


def count_of(gitlab: Any, crate: Path, setup: str) -> int:
    """Return how many requests a publish makes in this set-up when nothing goes wrong."""
    cell = Cell("", 1, setup=setup)
    gitlab.reset(**cell.options)
    publish(crate, cell.registry(gitlab))
    return len(gitlab.log())


@pytest.mark.proof
def test_every_fault_at_every_request(
    gitlab: Any, crate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table: list[tuple[str, list[Cell]]] = []
    count = count_of(gitlab, crate, "")
    for fault, lasting, duplicates in rows():
        label = (
            f"{fault:11} {'on' if lasting else 'once':5} {'taken' if duplicates else 'refused':10}"
        )
        table.append((label, [Cell(fault, n + 1, lasting, duplicates) for n in range(count)]))
    for setup in SETUPS:
        count = count_of(gitlab, crate, setup)
        for fault in SAMPLE:
            cells = [Cell(fault, n + 1, setup=setup) for n in range(count)]
            table.append((f"{fault:11} {setup}", cells))
    verdicts, broken = "", []
    lines = [f"{'fault':11} {'lasts':5} {'duplicates':10}    requests, one letter each"]
    for label, cells in table:
        said = ""
        for cell in cells:
            try:
                said += judge(cell, gitlab, crate, tmp_path)
            except BrokenError as error:
                said += BROKEN
                broken.append(str(error))
        verdicts += said
        lines.append(f"{label:30} {said}" if len(label) < 31 else f"{label}\n{'':30} {said}")
    for verdict, words in (
        (SURVIVED, "survived"),
        (REFUSED, "refused cleanly"),
        (BROKEN, "broken"),
    ):
        lines.append(f"{verdicts.count(verdict):5} {verdict}  {words}")
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert broken == []

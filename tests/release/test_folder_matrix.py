"""A folder registry under every fault of its disk: killed, full, read-only, broken.

strace lets the n-th system call that changes the disk fail, or kills the process there. A
reader looks all the while; then the version is published again.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from torchcrate.export.artifact import sha256_of
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull

FAULTS = {
    "killed": "signal=KILL",
    "full": "error=ENOSPC",
    "read-only": "error=EROFS",
    "broken": "error=EIO",
}
CALLS = ("mkdir", "openat", "write", "fsync", "rename", "unlinkat", "rmdir")
CLIENT = """
import sys
from pathlib import Path
from torchcrate.errors import CrateError
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.publish import publish
try:
    publish(Path(sys.argv[1]), FolderRegistry(Path(sys.argv[2])))
except CrateError as error:
    sys.exit(str(error))
"""
SURVIVED, REFUSED = "s", "r"


@dataclass(frozen=True)
class Change:
    """A system call that changes the disk: the `number`-th of its `name`, from 1."""

    name: str
    number: int


def client(crate: Path, shelf: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """Publish in a process of its own, under strace; its calls are listed beside the shelf."""
    program = [sys.executable, "-B", "-c", CLIENT, crate, shelf]
    return subprocess.run(
        ["strace", "-qq", "-o", shelf.with_name("trace"), *options, *program],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def changes(crate: Path, shelf: Path) -> list[Change]:
    """Return every call of a publish that changes the disk, in order."""
    done = client(crate, shelf, "-e", f"trace={','.join(CALLS)}")
    assert done.returncode == 0, done.stderr
    found, counted = [], dict.fromkeys(CALLS, 0)
    for line in shelf.with_name("trace").read_text().splitlines():
        name = line.partition("(")[0]
        counted[name] += 1
        made = str(shelf) in line and (name != "openat" or "O_CREAT" in line)
        if made or name in ("write", "fsync"):  # these go by number, and nothing else is written
            found.append(Change(name, counted[name]))
    return found


@contextmanager
def watched(shelf: Path, whole: dict[str, str]) -> Iterator[list[str]]:
    """Look at the version all the while; collect what a reader must never see."""
    faults: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            version = shelf / "mnist-net" / "1.0.0"
            try:
                names = {path.name for path in version.iterdir()}
            except FileNotFoundError:
                continue
            if names != whole.keys():
                faults.append(f"a reader saw {sorted(names)}")

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield faults
    finally:
        over.set()
        reader.join()


def judge(fault: str, change: Change, crate: Path, scratch: Path) -> str:
    """Publish into the fault, look, publish again, look again; return how the first one ended."""
    whole = {path.name: sha256_of(path) for path in crate.iterdir()}
    shelf = scratch / "shelf"
    inject = f"inject={change.name}:{FAULTS[fault]}:when={change.number}"
    with watched(shelf, whole) as faults:
        done = client(crate, shelf, "-e", f"trace={change.name}", "-e", inject)
        assert done.returncode in (0, 1, -9), done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == (done.returncode == 1)
        left = list((shelf / "mnist-net").glob("[!.]*"))
        assert len(left) <= 1
        publish(crate, FolderRegistry(shelf))
    pull("mnist-net@1.0.0", FolderRegistry(shelf), scratch / "out")
    assert faults == []
    assert {path.name: sha256_of(path) for path in (scratch / "out").iterdir()} == whole
    assert [path.name for path in (shelf / "mnist-net").iterdir()] == ["1.0.0"]
    return REFUSED if done.returncode else SURVIVED


@pytest.fixture
def every(crate: Path, tmp_path: Path) -> list[Change]:
    """Every change that a publish makes."""
    (tmp_path / "baseline").mkdir()
    return changes(crate, tmp_path / "baseline" / "shelf")


def test_what_changes_the_disk_is_found(every: list[Change], crate: Path) -> None:
    names = [change.name for change in every]

    assert names.count("write") == len(list(crate.iterdir()))
    assert names.count("fsync") > names.count("write")
    assert names[-2:] == ["rename", "fsync"]  # the names are on disk before the run ends


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_disk_leaves_no_version_or_the_whole_version(
    every: list[Change], crate: Path, tmp_path: Path, fault: str
) -> None:
    for number, change in enumerate((every[0], every[len(every) // 2], every[-2])):
        (tmp_path / str(number)).mkdir()

        assert judge(fault, change, crate, tmp_path / str(number)) == REFUSED


def test_a_reader_who_sees_a_part_would_be_noticed(tmp_path: Path) -> None:
    version = tmp_path / "mnist-net" / "1.0.0"

    with watched(tmp_path, {"model.pt": "", "model.onnx": ""}) as faults:
        version.mkdir(parents=True)
        (version / "model.pt").touch()
        while not faults:
            pass

    assert faults[0] in ("a reader saw []", "a reader saw ['model.pt']")


@pytest.mark.proof
def test_every_fault_at_every_change_of_the_disk(
    every: list[Change], crate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [
        f"{'disk':10} change 1 to {len(every)}",
        f"{'':10} {''.join(c.name[0] for c in every)}",
    ]
    said = ""
    for fault in FAULTS:
        row = ""
        for number, change in enumerate(every):
            scratch = tmp_path / f"{fault}-{number}"
            scratch.mkdir()
            row += judge(fault, change, crate, scratch)
        lines.append(f"{fault:10} {row}")
        said += row
    lines += [
        f"{said.count(SURVIVED):5} s  survived",
        f"{said.count(REFUSED):5} r  refused cleanly",
    ]
    with capsys.disabled():
        print("", *lines, "    0 B  broken", sep="\n")


@pytest.mark.proof
def test_a_small_disk_is_one_line_and_leaves_no_version(
    crate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A tmpfs of n pages, in a mount namespace of its own."""
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    script = (
        'mount -t tmpfs -o size=$0 tmpfs "$1" && shift && "$@"; code=$?; '
        f"ls {tmp_path}/disk/shelf/mnist-net; exit $code"
    )
    (tmp_path / "disk").mkdir()
    lines, ended = [], []
    for pages in range(1, 17):
        program = [sys.executable, "-c", CLIENT, crate, tmp_path / "disk" / "shelf"]
        done = subprocess.run(
            [*alone, script, f"{pages * 4}k", tmp_path / "disk", *program],
            capture_output=True,
            text=True,
            check=False,
        )
        said = re.sub(r".*/shelf", "REGISTRY", done.stderr.splitlines()[0]) if done.stderr else ""
        ended.append((done.returncode, done.stdout.split()))
        lines.append(f"{pages * 4:4} KiB  {said or 'published'}")
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert set(map(repr, ended)) == {repr((1, [])), repr((0, ["1.0.0"]))}
    assert ended[-1][0] == 0

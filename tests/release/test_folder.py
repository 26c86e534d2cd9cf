"""A folder registry shows whole versions only, whatever kills, fills or forbids the writing."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from torchcrate.errors import FolderError, RegistryError
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.manifest import MANIFEST
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.registry import NotFoundError


@pytest.fixture
def shelf(tmp_path):
    """An empty folder registry."""
    return FolderRegistry(tmp_path / "shelf")


PUBLISH = (
    "import os, signal, sys\n"
    "from pathlib import Path\n"
    "from torchcrate.release.folder import FolderRegistry\n"
    "from torchcrate.release.publish import publish\n"
    "def progress(file, done, total):\n"
    "    if file == sys.argv[3] and done == total: os.kill(os.getpid(), signal.SIGKILL)\n"
    "publish(Path(sys.argv[1]), FolderRegistry(Path(sys.argv[2])), progress)\n"
)


@pytest.mark.parametrize("file", ["CMakeLists.txt", "parity.json", MANIFEST])
def test_a_killed_publisher_leaves_no_version_and_the_next_one_sweeps(
    crate, shelf, tmp_path, contents, file
):
    command = [sys.executable, "-c", PUBLISH, str(crate), shelf.where, file]
    killed = subprocess.run(command)
    left = list((tmp_path / "shelf" / "mnist-net").iterdir())

    assert killed.returncode == -signal.SIGKILL
    assert [path.name[0] for path in left] == ["."]
    assert shelf.versions("mnist-net") == ()
    publish(crate, shelf)
    assert [path.name for path in (tmp_path / "shelf" / "mnist-net").iterdir()] == ["1.0.0"]
    pull("mnist-net@1.0.0", shelf, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(crate)


def _try_to_publish(crate: Path, root: Path, start, results) -> None:
    start.wait()
    try:
        results.put((crate.name, publish(crate, FolderRegistry(root)).already_there))
    except RegistryError as error:
        results.put((crate.name, str(error)))


def test_of_publishers_at_once_one_content_stands_and_the_others_are_told(
    make_crate, shelf, tmp_path, contents
):
    crates = [make_crate(), make_crate(), make_crate(changed=("model.pt",))]
    context = multiprocessing.get_context("fork")
    start, results = context.Barrier(len(crates)), context.Queue()
    workers = [
        context.Process(target=_try_to_publish, args=(crate, tmp_path / "shelf", start, results))
        for crate in crates
    ]
    for worker in workers:
        worker.start()
    told = dict(results.get(timeout=60) for _ in workers)
    for worker in workers:
        worker.join()

    pull("mnist-net@1.0.0", shelf, tmp_path / "out")

    winners = [crate for crate in crates if told[crate.name] is False]
    assert len(winners) == 1
    assert contents(tmp_path / "out") == contents(winners[0])
    for crate in crates:
        if crate not in winners:
            equal = contents(crate) == contents(winners[0])
            assert told[crate.name] is True if equal else "model.pt" in told[crate.name]


@pytest.mark.parametrize("full", ["registry", "out"])
def test_a_full_disk_leaves_nothing(crate, shelf, tmp_path, full):
    if full == "out":
        publish(crate, shelf)
    program = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from torchcrate.errors import FolderError\n"
        "from torchcrate.release.folder import FolderRegistry\n"
        "from torchcrate.release.publish import publish\n"
        "from torchcrate.release.pull import pull\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (99, 99))\n"  # one byte less than a file has
        "crate, shelf, out = map(Path, sys.argv[1:])\n"
        "try:\n"
        "    publish(crate, FolderRegistry(shelf))\n"
        "    pull('mnist-net@1.0.0', FolderRegistry(shelf), out)\n"
        "except FolderError as error:\n"
        "    sys.exit(str(error))\n"
    )
    out = tmp_path / "around" / "out"
    command = [sys.executable, "-c", program, str(crate), shelf.where, str(out)]

    done = subprocess.run(command, capture_output=True, text=True)

    assert "make room" in done.stderr
    assert done.stderr.count("\n") == 1
    target = tmp_path / "shelf" / "mnist-net" if full == "registry" else out.parent
    assert list(target.iterdir()) == []


def test_a_registry_that_cannot_be_written_is_one_line(crate, shelf, tmp_path):
    (tmp_path / "shelf").write_text("a file, not a folder")

    with pytest.raises(FolderError, match=r"cannot write .*: not a directory"):
        publish(crate, shelf)


def test_a_registry_that_is_not_there_is_not_found(shelf):
    with pytest.raises(NotFoundError, match="no such folder"):
        shelf.versions("mnist-net")


def test_a_version_without_a_manifest_is_not_listed(crate, shelf, tmp_path):
    publish(crate, shelf)
    (tmp_path / "shelf" / "mnist-net" / "1.0.0" / MANIFEST).unlink()
    (tmp_path / "shelf" / "mnist-net" / "notes.txt").write_text("mine")

    assert shelf.versions("mnist-net") == ()


def test_what_is_published_can_be_read_by_whom_the_umask_allows(crate, shelf, tmp_path):
    before = os.umask(0o022)
    try:
        publish(crate, shelf)
        pull("mnist-net@1.0.0", shelf, tmp_path / "out")
    finally:
        os.umask(before)

    for folder in (tmp_path / "shelf" / "mnist-net" / "1.0.0", tmp_path / "out"):
        assert folder.stat().st_mode & 0o777 == 0o755
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}

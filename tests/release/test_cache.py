"""The same bytes are transferred once, whoever was killed, whatever rots, and however many pull."""

import os
import random
import signal
import subprocess
import sys

import pytest

from torchcrate.errors import RegistryError
from torchcrate.export.artifact import sha256_of
from torchcrate.release.cache import Cache
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS, YANKED
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull

VERSION = "mnist-net@1.0.0"
SMALL = {MANIFEST, SIGNATURE, SUMS, YANKED}  # asked for anew each time
CLIENT = """
import sys
from pathlib import Path
from torchcrate.release.cache import Cache
from torchcrate.release.pull import pull
from torchcrate.release.registry import open_registry

address, out, cache, pauses = sys.argv[1:]

def say(line):
    print(line, flush=True)

def progress(file, done, total):
    global pauses
    if pauses and file == "weights.bin" and done > 300_000:
        pauses = ""
        say("half way")
        sys.stdin.readline()

with open_registry(address, {"GITLAB_TOKEN": "glpat-developer"}, on_notice=say) as registry:
    kept = Cache(Path(cache), say) if cache else None
    pull("mnist-net@1.0.0", registry, Path(out), progress, cache=kept, on_notice=say)
say("done")
"""


@pytest.fixture
def crate(crate, reseal):
    """A sealed crate whose weights.bin arrives in many pieces."""
    (crate / "weights.bin").write_bytes(random.Random(0).randbytes(1_000_000))
    reseal(crate, "1.0.0")
    return crate


@pytest.fixture
def notices():
    """The lines that a pull says for people."""
    return []


@pytest.fixture
def cache(tmp_path, notices):
    """An empty cache."""
    return Cache(tmp_path / "kept", notices.append)


@pytest.fixture
def start(gitlab, tmp_path):
    """Start pulls as processes of their own; one that `pauses` waits in its largest file."""
    started = []

    def client(out, pauses="", cache="kept"):
        kept = str(tmp_path / cache) if cache else ""
        command = [sys.executable, "-c", CLIENT, gitlab.project, str(tmp_path / out), kept, pauses]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        started.append(process)
        return process

    yield client
    for process in started:
        process.kill()
        process.communicate()


def ranges(gitlab, file="weights.bin"):
    return [entry["range"] for entry in gitlab.log("GET") if entry["path"].endswith(f"/{file}")]


def test_the_same_bytes_again_cost_no_transfer(crate, gitlab, cache, tmp_path, contents):
    publish(crate, gitlab.registry())
    pull(VERSION, gitlab.registry(), tmp_path / "one", cache=cache)
    before = len(gitlab.log("GET"))

    pull(VERSION, gitlab.registry(), tmp_path / "two", cache=cache)

    asked = [entry["path"].rpartition("/")[2] for entry in gitlab.log("GET")[before:]]
    assert set(asked) == SMALL
    assert contents(tmp_path / "two") == contents(crate)


def test_a_new_version_transfers_what_is_new_alone(crate, make_crate, gitlab, cache, tmp_path):
    publish(crate, gitlab.registry())
    publish(make_crate("1.1.0", changed=("model.pth",)), gitlab.registry())
    pull(VERSION, gitlab.registry(), tmp_path / "out", cache=cache)
    before = len(gitlab.log("GET"))

    pull("mnist-net@1.1.0", gitlab.registry(), tmp_path / "out", cache=cache)

    asked = {entry["path"].rpartition("/")[2] for entry in gitlab.log("GET")[before:]}
    assert asked == SMALL | {"model.pth", "parity.json"}


@pytest.mark.parametrize("damage", ["flipped", "cut", "longer"])
def test_a_blob_that_rotted_is_dropped_and_fetched_again(
    crate, gitlab, cache, notices, tmp_path, contents, damage
):
    publish(crate, gitlab.registry())
    pull(VERSION, gitlab.registry(), tmp_path / "one", cache=cache)
    blob = cache.root / "blobs" / sha256_of(crate / "weights.bin")
    data = bytearray(blob.read_bytes())
    data[1000] ^= 1
    blob.write_bytes({"cut": data[:500], "longer": blob.read_bytes() + b"more"}.get(damage, data))

    pull(VERSION, gitlab.registry(), tmp_path / "two", cache=cache)

    assert contents(tmp_path / "two") == contents(crate)
    assert any("damaged: weights.bin is fetched again" in line for line in notices)
    assert ranges(gitlab) == ["", ""]
    assert sha256_of(blob) == blob.name


def test_a_killed_pull_is_gone_on_with_where_it_stopped(crate, gitlab, start, tmp_path, contents):
    publish(crate, gitlab.registry())
    killed = start("one", pauses="yes")
    assert "half way\n" in killed.stdout
    killed.kill()
    killed.wait()
    (partial,) = (tmp_path / "kept" / "partial").iterdir()
    size = partial.stat().st_size

    said = start("one").communicate()[0]

    assert size > 300_000
    assert ranges(gitlab) == ["", f"bytes={size}-"]
    assert "waiting" not in said
    assert contents(tmp_path / "one") == contents(crate)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert list((tmp_path / "kept" / "partial").iterdir()) == []


@pytest.mark.parametrize("left", [b"other" * 1000, b"x" * 1_000_000, b"x" * 1_000_001])
def test_a_partial_file_that_leads_nowhere_is_fetched_from_the_start_once(
    crate, gitlab, cache, tmp_path, contents, left
):
    publish(crate, gitlab.registry())
    (cache.root / "partial").mkdir(parents=True)
    (cache.root / "partial" / sha256_of(crate / "weights.bin")).write_bytes(left)

    pull(VERSION, gitlab.registry(), tmp_path / "out", cache=cache)

    assert contents(tmp_path / "out") == contents(crate)
    assert ranges(gitlab)[-1] == ""
    assert len(ranges(gitlab)) <= 2


def test_what_came_wrong_is_not_gone_on_with(crate, gitlab, cache, tmp_path):
    publish(crate, gitlab.registry())
    gitlab.fault("flip", times=0, method="GET", file="/weights.bin")

    with pytest.raises(RegistryError, match="late upload may shadow it"):
        pull(VERSION, gitlab.registry(), tmp_path / "out", cache=cache)

    assert list((cache.root / "partial").iterdir()) == []
    assert not (cache.root / "blobs" / sha256_of(crate / "weights.bin")).exists()


def test_two_pulls_of_the_same_bytes_transfer_them_once(crate, gitlab, start, tmp_path, contents):
    publish(crate, gitlab.registry())
    first = start("one", pauses="yes")
    assert "half way\n" in first.stdout
    second = start("two")
    waited = "waiting: another process is pulling weights.bin\n" in second.stdout
    first.stdin.write("\n")

    said = [process.communicate()[0] for process in (first, second)]

    assert waited
    assert all("done" in each for each in said)
    assert ranges(gitlab) == [""]
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == contents(crate)


def test_who_waits_for_a_process_that_is_killed_goes_on_with_its_bytes(
    crate, gitlab, start, tmp_path, contents
):
    publish(crate, gitlab.registry())
    first = start("one", pauses="yes")
    assert "half way\n" in first.stdout
    second = start("two")
    assert any(line.startswith("waiting") for line in second.stdout)
    first.send_signal(signal.SIGKILL)

    second.communicate()

    assert second.returncode == 0
    assert ranges(gitlab)[1].startswith("bytes=")
    assert contents(tmp_path / "two") == contents(crate)


@pytest.mark.parametrize("cache", ["kept", ""])
def test_two_pulls_into_one_folder_take_turns(crate, gitlab, start, tmp_path, contents, cache):
    publish(crate, gitlab.registry())
    first = start("out", pauses="yes", cache=cache)
    assert "half way\n" in first.stdout
    second = start("out", cache=cache)
    waited = next(line for line in second.stdout if line.startswith("waiting"))
    first.stdin.write("\n")

    for process in (first, second):
        process.communicate()

    assert f"is pulling into {tmp_path / 'out'}" in waited
    assert [first.returncode, second.returncode] == [0, 0]
    assert contents(tmp_path / "out") == contents(crate)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_cache_that_cannot_be_written_is_done_without(crate, gitlab, notices, tmp_path, contents):
    publish(crate, gitlab.registry())
    (tmp_path / "file").write_text("no folder")

    pull(
        VERSION,
        gitlab.registry(),
        tmp_path / "out",
        cache=Cache(tmp_path / "file" / "kept"),
        on_notice=notices.append,
    )

    assert contents(tmp_path / "out") == contents(crate)
    assert len(notices) == 1
    assert "not a directory; going on without it" in notices[0]


def test_a_cache_on_a_full_disk_is_done_without(crate, gitlab, tmp_path, contents):
    """A limit on the size of files stops the cache, and is lifted when it was given up."""
    publish(crate, gitlab.registry())
    program = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, hard))\n"
    ) + CLIENT.replace(
        "on_notice=say)\nsay",
        "on_notice=lambda line: (say(line), "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))))\nsay",
    )
    arguments = [gitlab.project, str(tmp_path / "out"), str(tmp_path / "kept"), ""]

    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True
    )

    assert done.stderr == ""
    assert "file too large; going on without it" in done.stdout
    assert contents(tmp_path / "out") == contents(crate)
    assert list((tmp_path / "kept" / "partial").iterdir()) == []


def test_bytes_of_a_folder_registry_are_kept_where_a_cache_is_given(crate, cache, tmp_path):
    shelf = FolderRegistry(tmp_path / "shelf")
    publish(crate, shelf)

    pull(VERSION, shelf, tmp_path / "out", cache=cache)

    assert (cache.root / "blobs" / sha256_of(crate / "weights.bin")).exists()
    assert cache.root.stat().st_mode & 0o077 == 0


def test_what_many_pulls_remember_at_once_is_whole(crate, gitlab, start, tmp_path):
    publish(crate, gitlab.registry())
    processes = [start(f"out-{number}") for number in range(4)]

    said = [process.communicate()[0] for process in processes]

    assert all(each.endswith("done\n") for each in said)
    assert not any("cannot" in each for each in said)
    (folder,) = (tmp_path / "kept").glob("versions/*/mnist-net/1.0.0")
    assert {path.name for path in folder.iterdir()} == {MANIFEST, SUMS}


@pytest.mark.parametrize("kind", ["fifo", "device"])
def test_what_is_no_file_is_never_waited_for(crate, gitlab, cache, notices, tmp_path, kind):
    publish(crate, gitlab.registry())
    blob = cache.root / "blobs" / sha256_of(crate / "model.onnx")
    blob.parent.mkdir(parents=True)
    os.mkfifo(blob) if kind == "fifo" else blob.symlink_to("/dev/zero")

    pull(VERSION, gitlab.registry(), tmp_path / "out", cache=cache, on_notice=notices.append)

    assert sha256_of(tmp_path / "out" / "model.onnx") == sha256_of(crate / "model.onnx")
    assert f"{blob} is not a file: it is removed" in notices
    assert sha256_of(blob) == blob.name

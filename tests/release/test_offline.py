"""What was pulled once is there again when nobody answers, and is checked no less."""

import os
import time
import tracemalloc

import pytest

from torchcrate.errors import FolderError, RegistryError, UsageError
from torchcrate.export.artifact import sha256_of
from torchcrate.release.cache import Cache
from torchcrate.release.manifest import MANIFEST, SUMS, YANKED
from torchcrate.release.offline import Remembered, Witness
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.receive import receive_small
from torchcrate.release.registry import NotFoundError, Upload

VERSION = "mnist-net@1.0.0"


@pytest.fixture
def notices():
    """The lines that a pull says for people."""
    return []


@pytest.fixture
def cache(tmp_path, notices):
    """An empty cache."""
    return Cache(tmp_path / "kept", notices.append)


@pytest.fixture
def take(gitlab, cache, notices, tmp_path, hasty):
    """Pull with the cache, by a client that gives up soon."""

    def pulled(reference=VERSION, out="out", **how):
        registry = gitlab.registry(patience=hasty, on_notice=notices.append)
        return pull(
            reference, registry, tmp_path / out, cache=cache, on_notice=notices.append, **how
        )

    return pulled


@pytest.mark.parametrize("kind", ["refuse", "503"])
def test_a_registry_out_of_reach_is_done_without_and_that_is_said_once(
    crate, gitlab, take, notices, tmp_path, contents, kind
):
    publish(crate, gitlab.registry())
    take()
    notices.clear()
    gitlab.fault(kind, times=0, seconds=1)

    take(out="again")

    if kind == "refuse":
        time.sleep(1.1)  # until the server listens again
    assert contents(tmp_path / "again") == contents(crate)
    assert sum("a yank or a newer version since then cannot be seen" in n for n in notices) == 1


def test_offline_asks_nothing(crate, gitlab, take, tmp_path, contents):
    publish(crate, gitlab.registry())
    take()
    before = len(gitlab.log())

    take(out="again", offline=True)

    assert len(gitlab.log()) == before
    assert contents(tmp_path / "again") == contents(crate)


def test_what_was_never_pulled_is_not_there_offline(make_crate, gitlab, take, tmp_path):
    for version in ("1.0.0", "1.1.0"):
        publish(make_crate(version, seed=ord(version[2])), gitlab.registry())
    take()

    with pytest.raises(NotFoundError, match="not in the cache: pull it once"):
        take("mnist-net@1.1.0", "again", offline=True)
    with pytest.raises(NotFoundError, match="no published version of other"):
        take("other@latest", "again", offline=True)

    assert not (tmp_path / "again").exists()


def test_latest_is_offline_the_newest_that_was_pulled(make_crate, gitlab, take):
    for version in ("1.9.0", "1.10.0", "1.11.0"):
        publish(make_crate(version, seed=len(version)), gitlab.registry())
    take("mnist-net@1.9.0")
    take("mnist-net@1.10.0")

    manifest = take("mnist-net@latest", "again", offline=True)

    assert manifest.version == "1.10.0"


def test_latest_is_not_guessed_when_nobody_answers(crate, gitlab, take):
    publish(crate, gitlab.registry())
    take("mnist-net@latest")
    gitlab.fault("503", times=0)

    with pytest.raises(RegistryError, match="503"):
        take("mnist-net@latest", "again")


def test_a_refusal_is_not_taken_for_silence(crate, gitlab, take):
    """Who lost the right to read is told so, although the bytes are here."""
    publish(crate, gitlab.registry())
    take()
    gitlab.fault("401", times=0)

    with pytest.raises(RegistryError, match="401"):
        take(out="again")


@pytest.mark.parametrize("file", [MANIFEST, SUMS])
def test_what_rotted_in_the_cache_is_refused_offline(crate, gitlab, cache, take, tmp_path, file):
    publish(crate, gitlab.registry())
    take()
    (path,) = cache.root.glob(f"versions/*/mnist-net/1.0.0/{file}")
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))

    with pytest.raises(RegistryError):
        take(out="again", offline=True)

    assert not (tmp_path / "again").exists()


def test_a_blob_that_rotted_is_refused_offline(crate, gitlab, cache, take, tmp_path):
    publish(crate, gitlab.registry())
    take()
    (cache.root / "blobs" / sha256_of(crate / "model.pt")).write_bytes(b"rot")

    with pytest.raises(NotFoundError, match=r"model\.pt"):
        take(out="again", offline=True)

    assert not (tmp_path / "again").exists()


def test_another_registry_is_not_answered_for(crate, gitlab, cache, tmp_path):
    publish(crate, gitlab.registry())
    pull(VERSION, gitlab.registry(), tmp_path / "out", cache=cache)

    assert Remembered(cache.remembered(gitlab.project), gitlab.project).published(
        "mnist-net", "1.0.0"
    )
    elsewhere = "https://gitlab.example.com/api/v4/projects/42"
    assert not Remembered(cache.remembered(elsewhere), elsewhere).published("mnist-net", "1.0.0")


def test_without_a_cache_there_is_nothing_offline(gitlab, tmp_path):
    with pytest.raises(UsageError, match="no cache"):
        pull(VERSION, gitlab.registry(), tmp_path / "out", offline=True)


def test_a_yank_that_was_seen_is_remembered_and_forgotten_with_it(crate, gitlab, cache):
    """Whoever asks for `yanked.json` or a signature on the way gets it again offline."""
    registry = gitlab.registry()
    publish(crate, registry)
    with registry.draft("mnist-net", "1.0.0", print, mend=True) as draft:
        draft.add(Upload.of_bytes(YANKED, b"{}"))
    witness = Witness(registry)
    receive_small(witness, "mnist-net", "1.0.0", YANKED)
    cache.remember(registry.where, "mnist-net", "1.0.0", witness.seen)
    known = Remembered(cache.remembered(registry.where), registry.where)

    remembered = receive_small(known, "mnist-net", "1.0.0", YANKED)
    cache.remember(registry.where, "mnist-net", "1.0.0", {MANIFEST: b"another"})

    assert remembered == b"{}"
    with pytest.raises(NotFoundError):
        receive_small(known, "mnist-net", "1.0.0", YANKED)


def test_a_remembered_manifest_of_any_size_takes_little_memory(crate, gitlab, take, cache):
    publish(crate, gitlab.registry())
    take()
    folder = cache.remembered(gitlab.project) / "mnist-net" / "1.0.0"
    os.truncate(folder / MANIFEST, 2 << 30)  # sparse: no disk is used
    tracemalloc.start()

    with pytest.raises(RegistryError, match="bytes, no such file has"):
        take(offline=True)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6


@pytest.mark.parametrize("file", [MANIFEST, SUMS, YANKED])
def test_what_is_remembered_and_no_file_is_never_waited_for(crate, gitlab, take, cache, file):
    publish(crate, gitlab.registry())
    take()
    path = cache.remembered(gitlab.project) / "mnist-net" / "1.0.0" / file
    path.unlink(missing_ok=True)
    os.mkfifo(path)

    if file == YANKED:
        with pytest.raises(NotFoundError, match="is yanked"):
            take("mnist-net@latest", offline=True)
        return
    with pytest.raises(FolderError, match="it is not a regular file"):
        take(offline=True)

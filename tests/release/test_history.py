"""The list of versions: in SemVer's order over any number, and no damage hides the rest."""

import json
import random
import re
import time
from dataclasses import replace
from datetime import UTC, datetime

import httpx
import pytest

from torchcrate.errors import RegistryError
from torchcrate.files import write_whole
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.history import history, newest, size_words, table_of
from torchcrate.release.manifest import MANIFEST, Manifest
from torchcrate.release.publish import publish
from torchcrate.release.yank import yank

NOW = datetime(2026, 3, 4, tzinfo=UTC)
TOKEN = {"PRIVATE-TOKEN": "glpat-developer"}


def test_each_version_shows_what_its_manifest_states(crate, alter, registry):
    publish(alter(crate, commit="0123456789abcdef-dirty"), registry)

    (release,) = history(registry, "mnist-net")

    manifest = Manifest.parse((crate / MANIFEST).read_bytes())
    assert (release.version, release.state, release.note) == ("1.0.0", "published", "")
    assert release.commit == "0123456789abcdef-dirty"
    assert release.accuracy == 0.993
    assert release.parity_margin == pytest.approx(2e-5 / 1e-6)
    assert release.label_margin == 0.5
    assert release.size == sum(file.size for file in manifest.files)
    assert release.date is not None
    assert release.date.tzinfo is not None


def test_a_yanked_version_stays_in_the_list_with_its_reason(make_crate, registry):
    publish(make_crate("1.0.0"), registry)
    publish(make_crate("1.1.0"), registry)

    yank("mnist-net@1.1.0", "reads 7 as 1", registry, NOW)

    first, second = history(registry, "mnist-net")
    assert (first.state, second.state) == ("published", "yanked")
    assert second.note == "yanked since 2026-03-04: reads 7 as 1"
    assert second.accuracy == 0.993


@pytest.mark.parametrize("data", [b"", b"{}", b"not json", b" " * (17 << 20)], ids=len)
def test_a_damaged_manifest_is_one_line_of_the_list(make_crate, gitlab, data):
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        publish(make_crate(version), gitlab.registry())
    httpx.put(gitlab.url("mnist-net", "1.1.0", MANIFEST), content=data, headers=TOKEN)

    states = [release.state for release in history(gitlab.registry(), "mnist-net")]

    assert states == ["published", "damaged", "published"]


def test_a_version_that_is_not_ours_and_one_of_another_name_are_damaged(make_crate, gitlab):
    publish(make_crate("1.0.0"), gitlab.registry())
    other = (make_crate("1.1.0", name="other") / MANIFEST).read_bytes()
    httpx.put(gitlab.url("mnist-net", "1.1.0", MANIFEST), content=other, headers=TOKEN)
    httpx.put(gitlab.url("mnist-net", "1.2.0", "by-hand.txt"), content=b"x", headers=TOKEN)

    states = [release.state for release in history(gitlab.registry(), "mnist-net")]

    assert states == ["published", "damaged", "damaged"]


def test_a_server_that_fails_is_no_damage(crate, gitlab):
    publish(crate, gitlab.registry())
    gitlab.fault("500", file=MANIFEST, times=0)

    with pytest.raises(RegistryError, match="500"):
        history(gitlab.registry(), "mnist-net")


def test_one_version_that_cannot_be_read_does_not_wait_for_the_others(make_crate, gitlab, hasty):
    for version in ("1.0.0", "1.1.0"):
        publish(make_crate(version), gitlab.registry())
    patient = replace(hasty, silence=300)
    gitlab.fault("hang", file=f"1.0.0/{MANIFEST}", times=0, seconds=300)
    gitlab.fault("403", file=f"1.1.0/{MANIFEST}", times=0)
    begun = time.monotonic()

    with pytest.raises(RegistryError, match="403"):
        history(gitlab.registry(patience=patient), "mnist-net")

    assert time.monotonic() - begun < 200


@pytest.fixture
def store(registry, tmp_path, request):
    """Put a manifest into the registry by hand, as a version that holds nothing else."""
    if isinstance(registry, FolderRegistry):

        def put(version: str, data: bytes) -> None:
            write_whole(tmp_path / "registry/mnist-net" / version / MANIFEST, data)

        yield put
        return
    gitlab = request.getfixturevalue("gitlab")
    with httpx.Client(headers=TOKEN) as client:
        yield lambda version, data: client.put(
            gitlab.url("mnist-net", version, MANIFEST), content=data
        )


def test_over_a_hundred_versions_come_in_the_order_of_semver(registry, store, crate, alter):
    """Published in any order; on GitLab these are two pages."""
    wanted = [f"0.{minor}.{patch}" for minor in range(11) for patch in (*range(9), 10)]
    for version in random.Random(1).sample(wanted, len(wanted)):
        store(version, (alter(crate, version=version) / MANIFEST).read_bytes())

    found = history(registry, "mnist-net")

    assert [release.version for release in found] == wanted
    assert {release.state for release in found} == {"published"}
    assert newest(registry, "mnist-net") == "0.10.10"


def test_what_was_never_published_is_not_the_newest(make_crate, gitlab):
    publish(make_crate("1.0.0"), gitlab.registry())
    with httpx.Client(headers=TOKEN) as client:
        client.put(gitlab.url("mnist-net", "9.9.9", "notes.txt"), content=b"stray")

    assert newest(gitlab.registry(), "mnist-net") == "1.0.0"


def test_the_table_has_a_line_for_each_version_and_says_what_it_does_not_know(make_crate, gitlab):
    crate = make_crate("1.0.0")
    size = sum(file.size for file in Manifest.parse((crate / MANIFEST).read_bytes()).files)
    publish(crate, gitlab.registry())
    httpx.put(gitlab.url("mnist-net", "1.1.0", MANIFEST), content=b"{}", headers=TOKEN)

    head, first, second = table_of(history(gitlab.registry(), "mnist-net")).splitlines()

    assert head.split()[:4] == ["version", "state", "date", "commit"]
    assert re.split(r"\s{2,}", first) == [
        *("1.0.0", "published", "2026-01-01", "-", "99.30 %", "20x", f"{size / 1000:.1f} kB")
    ]
    assert second.startswith("1.1.0    damaged    2026-01-01  -       -         -")


def test_a_hostile_manifest_cannot_act_on_the_terminal(crate, alter, registry):
    publish(alter(crate, commit="\x1b[2J"), registry)

    assert "\x1b" not in table_of(history(registry, "mnist-net"))


def test_the_command_as_json_tells_everything(crate, tmp_path, torchcrate):
    torchcrate("publish", crate, "--to", tmp_path / "registry")

    done = torchcrate("versions", "mnist-net", "--from", tmp_path / "registry", "--json")

    (row,) = json.loads(done.stdout)
    assert row.keys() == {
        *("version", "state", "date", "commit", "accuracy"),
        *("parity_margin", "label_margin", "size", "note"),
    }


def test_a_name_without_versions_is_said(tmp_path, torchcrate):
    (tmp_path / "registry").mkdir()

    done = torchcrate("versions", "mnist-net", "--from", tmp_path / "registry")

    assert done.stdout == f"{tmp_path / 'registry'} has no version of mnist-net\n"


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (5 << 30, "5.4 GB")]
)
def test_sizes_are_in_powers_of_a_thousand(size, words):
    assert size_words(size) == words

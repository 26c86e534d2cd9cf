"""A yanked version is marked and stays; whoever meets it is told why."""

import json
from datetime import UTC, datetime

import httpx
import pytest

from torchcrate.errors import RegistryError, UsageError
from torchcrate.release.history import history, newest
from torchcrate.release.manifest import YANKED
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.registry import NotFoundError
from torchcrate.release.yank import (
    UNREADABLE,
    Yank,
    mark_of,
    stored_mark,
    undo,
    yank,
)
from torchcrate.table import LONGEST, one_line

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
LATER = datetime(2027, 1, 1, tzinfo=UTC)
ASKED = "mnist-net@1.0.0"


@pytest.fixture
def damage(registry, tmp_path, request):
    """Put other bytes in the place of yanked.json, as another program may."""

    def put(data: bytes) -> None:
        if "folder" in request.node.callspec.id:
            (tmp_path / "registry/mnist-net/1.0.0" / YANKED).write_bytes(data)
            return
        gitlab = request.getfixturevalue("gitlab")
        url, token = gitlab.url("mnist-net", "1.0.0", YANKED), {"PRIVATE-TOKEN": "glpat-developer"}
        assert httpx.put(url, content=data, headers=token).is_success

    return put


def test_a_yanked_version_stays_whole_and_holds_one_file_more(crate, registry, tmp_path, contents):
    publish(crate, registry)

    done = yank(ASKED, "reads 7 as 1", registry, NOW.replace(microsecond=89))

    pull(ASKED, registry, tmp_path / "out")
    assert not done.already_there
    assert registry.published("mnist-net", "1.0.0")
    assert contents(tmp_path / "out") == contents(crate)
    assert mark_of(registry, "mnist-net", "1.0.0") == Yank("reads 7 as 1", NOW)


def test_the_mark_is_json_with_a_reason_and_a_date_in_utc():
    said = json.loads(Yank("why", NOW).dump())

    assert said == {"reason": "why", "date": "2026-03-04T05:06:07Z", "undone": None}


def test_the_status_of_the_version_is_not_named_when_it_is_yanked(crate, gitlab):
    publish(crate, gitlab.registry())
    before = len(gitlab.log("PUT"))

    yank(ASKED, "why", gitlab.registry(), NOW)

    (sent,) = gitlab.log("PUT")[before:]
    assert sent["path"].endswith(f"/mnist-net/1.0.0/{YANKED}")
    assert "status" not in sent["query"]
    assert sent["visible"].keys() == {ASKED}
    (package,) = gitlab.packages()
    assert package["status"] == "default"


def test_a_version_may_be_yanked_where_duplicates_are_refused(crate, gitlab):
    gitlab.reset(duplicates=False)
    publish(crate, gitlab.registry())

    yank(ASKED, "why", gitlab.registry(), NOW)

    assert mark_of(gitlab.registry(), "mnist-net", "1.0.0")


def test_yanking_again_changes_nothing_and_tells_the_first_reason(crate, registry):
    publish(crate, registry)
    yank(ASKED, "the first reason", registry, NOW)

    again = yank(ASKED, "another reason", registry, LATER)

    assert again.already_there
    assert again.mark == Yank("the first reason", NOW)
    assert mark_of(registry, "mnist-net", "1.0.0") == again.mark


@pytest.mark.parametrize("kind", ["lost", "500", "reset", "damage", "403"])
def test_a_mark_is_stored_through_a_fault_and_never_twice(crate, gitlab, kind):
    publish(crate, gitlab.registry())
    gitlab.fault(kind, file=YANKED, method="PUT")

    yank(ASKED, "why", gitlab.registry(), NOW)

    (package,) = gitlab.packages()
    copies = [file for file in package["files"] if file["file_name"] == YANKED]
    assert len(copies) == (2 if kind == "damage" else 1)  # a damaged copy is covered
    assert mark_of(gitlab.registry(), "mnist-net", "1.0.0") == Yank("why", NOW)


def test_a_refused_mark_is_one_line_and_leaves_the_version_as_it_was(crate, gitlab):
    publish(crate, gitlab.registry())
    before = gitlab.visible()

    with pytest.raises(RegistryError, match="role Developer"):
        yank(ASKED, "why", gitlab.registry("glpat-guest"), NOW)

    assert gitlab.visible() == before


def test_what_is_not_published_is_not_yanked(crate, registry):
    publish(crate, registry)

    with pytest.raises(NotFoundError, match=r"no published mnist-net 2\.0\.0"):
        yank("mnist-net@2.0.0", "why", registry, NOW)

    assert registry.versions("mnist-net") == ("1.0.0",)


def test_an_unfinished_version_is_not_yanked(crate, gitlab):
    gitlab.fault("403", at=4, times=0)
    with pytest.raises(RegistryError):
        publish(crate, gitlab.registry())
    gitlab.heal()

    with pytest.raises(NotFoundError):
        yank(ASKED, "why", gitlab.registry(), NOW)

    assert gitlab.visible() == {}


@pytest.mark.parametrize(
    ("reference", "why", "words"),
    [
        (ASKED, " \n", "empty"),
        (ASKED, "x" * (LONGEST + 1), f"{LONGEST} at most"),
        ("mnist-net@latest", "why", "tomorrow"),
        ("mnist-net", "why", "NAME@VERSION"),
    ],
)
def test_a_reason_or_a_version_that_says_nothing_is_refused(crate, registry, reference, why, words):
    publish(crate, registry)

    with pytest.raises(UsageError, match=words):
        yank(reference, why, registry, NOW)

    assert mark_of(registry, "mnist-net", "1.0.0") is None


def test_latest_skips_what_is_yanked(make_crate, registry):
    for version in ("1.0.0", "1.1.0", "1.2.0", "2.0.0-rc.1"):
        publish(make_crate(version), registry)

    yank("mnist-net@1.2.0", "why", registry, NOW)
    yank("mnist-net@2.0.0-rc.1", "why", registry, NOW)

    assert newest(registry, "mnist-net") == "1.1.0"
    assert newest(registry, "mnist-net", pre=True) == "1.1.0"


def test_latest_of_nothing_but_yanked_versions_is_an_error(crate, registry):
    publish(crate, registry)
    yank(ASKED, "why", registry, NOW)

    with pytest.raises(NotFoundError, match="every version of mnist-net"):
        newest(registry, "mnist-net")


def test_pulling_a_yanked_version_by_its_number_warns_with_the_reason(crate, registry, tmp_path):
    publish(crate, registry)
    yank(ASKED, "reads 7 as 1", registry, NOW)
    said = []

    pull(ASKED, registry, tmp_path / "out", on_notice=said.append)

    assert said == ["Warning: mnist-net 1.0.0 is yanked since 2026-03-04: reads 7 as 1"]
    assert (tmp_path / "out" / "model.onnx").is_file()


def test_pulling_a_sound_version_says_nothing(crate, registry, tmp_path):
    publish(crate, registry)
    said = []

    pull(ASKED, registry, tmp_path / "out", on_notice=said.append)

    assert said == []


def test_publishing_to_a_yanked_version_is_refused_even_with_the_same_content(crate, registry):
    publish(crate, registry)
    yank(ASKED, "reads 7 as 1", registry, NOW)

    with pytest.raises(RegistryError, match="yanked since 2026-03-04: reads 7 as 1; take the next"):
        publish(crate, registry)


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"not json", b"\xff\xfe", b"[]", b" " * 100_000, b'{"reason": "x"}'),
        *(b'{"reason": 1, "date": 2}', b'{"reason": null, "date": null}'),
        b'{"reason": "x", "date": "soon"}',
    ],
    ids=lambda data: data[:20].decode(errors="replace"),
)
def test_a_damaged_mark_counts_and_can_be_mended(crate, registry, damage, data, tmp_path):
    publish(crate, registry)
    damage(data)
    said = []

    pull(ASKED, registry, tmp_path / "out", on_notice=said.append)

    assert mark_of(registry, "mnist-net", "1.0.0") == UNREADABLE
    assert said == [
        f"Warning: mnist-net 1.0.0 is yanked, its {YANKED} is damaged and cannot say why"
    ]
    assert not yank(ASKED, "why", registry, NOW).already_there
    assert mark_of(registry, "mnist-net", "1.0.0") == Yank("why", NOW)


def test_a_mark_that_is_taken_back_leaves_the_version_as_if_it_had_none(
    crate, registry, tmp_path, contents
):
    publish(crate, registry)
    yank(ASKED, "reads 7 as 1", registry, NOW)
    said = []

    done = undo(ASKED, registry, LATER.replace(microsecond=89))

    assert not done.already_there
    assert mark_of(registry, "mnist-net", "1.0.0") is None
    assert newest(registry, "mnist-net") == "1.0.0"
    pull(ASKED, registry, tmp_path / "out", on_notice=said.append)
    assert (said, contents(tmp_path / "out")) == ([], contents(crate))
    assert publish(crate, registry).already_there
    (row,) = history(registry, "mnist-net")
    assert (row.state, row.note) == (
        "published",
        "yanked from 2026-03-04 to 2027-01-01: reads 7 as 1",
    )


def test_a_mark_is_taken_back_once_and_may_be_set_again(crate, registry):
    publish(crate, registry)
    assert undo(ASKED, registry, NOW).mark is None
    yank(ASKED, "first", registry, NOW)
    undo(ASKED, registry, NOW)

    again = undo(ASKED, registry, LATER)

    assert (again.already_there, again.mark) == (True, Yank("first", NOW, NOW))
    assert not yank(ASKED, "second", registry, LATER).already_there
    assert stored_mark(registry, "mnist-net", "1.0.0") == Yank("second", LATER)


def test_a_damaged_mark_can_be_taken_back(crate, registry, damage):
    publish(crate, registry)
    damage(b"not json")

    undo(ASKED, registry, NOW)

    assert mark_of(registry, "mnist-net", "1.0.0") is None


@pytest.mark.parametrize("kind", ["lost", "502"])
def test_taking_a_mark_back_holds_through_a_fault(crate, gitlab, kind):
    publish(crate, gitlab.registry())
    yank(ASKED, "why", gitlab.registry(), NOW)
    gitlab.fault(kind, method="PUT", file=f"/{YANKED}")

    undo(ASKED, gitlab.registry(), LATER)

    (package,) = gitlab.packages()
    assert [file["file_name"] for file in package["files"]].count(YANKED) == 2
    assert mark_of(gitlab.registry(), "mnist-net", "1.0.0") is None


def test_where_duplicates_are_refused_a_maintainer_takes_the_mark_back(crate, gitlab):
    gitlab.reset(duplicates=False)
    publish(crate, gitlab.registry())
    yank(ASKED, "why", gitlab.registry(), NOW)

    with pytest.raises(RegistryError, match=r"another yanked\.json.*let a Maintainer delete"):
        undo(ASKED, gitlab.registry(), LATER)

    assert mark_of(gitlab.registry(), "mnist-net", "1.0.0") == Yank("why", NOW)


@pytest.mark.parametrize("reference", ["mnist-net@2.0.0", "mnist-net@latest", "mnist-net@^1"])
def test_nothing_is_taken_back_from_what_is_no_version(crate, registry, reference):
    publish(crate, registry)

    with pytest.raises((RegistryError, UsageError), match=r"no published|name the one"):
        undo(reference, registry, NOW)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\nlines\tand  more", "two lines and more"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("right \u202eto left\u2066", "right \\u202eto left\\u2066"),
        ("café 数字", "café 数字"),
        ("x" * 2000, "x" * (LONGEST - 3) + "..."),
        ("\x00" * 2000, ("\\x00" * LONGEST)[: LONGEST - 3] + "..."),
    ],
)
def test_foreign_words_are_shown_on_one_bounded_line(text, shown):
    assert one_line(text) == shown


def test_a_hostile_reason_cannot_act_on_the_terminal(crate, registry):
    publish(crate, registry)

    done = yank(ASKED, "\x1b]0;owned\x07\r\nError: all is well", registry, NOW)

    assert done.mark.words() == ("yanked since 2026-03-04: \\x1b]0;owned\\x07 Error: all is well")


def test_the_command_tells_since_when(crate, tmp_path, torchcrate):
    registry = tmp_path / "registry"
    torchcrate("publish", crate, "--to", registry)

    first = torchcrate("yank", ASKED, "--why", "reads 7 as 1", "--from", registry)
    second = torchcrate("yank", ASKED, "--why", "no matter", "--from", registry)
    pulled = torchcrate("pull", ASKED, "--from", registry, "--out", tmp_path / "out")

    day = str(datetime.now(UTC).date())[:7]
    assert f"mnist-net 1.0.0 in {registry} is yanked since {day}" in first.stdout
    assert f"is already yanked since {day}" in second.stdout
    assert second.stdout.endswith("reads 7 as 1\n")
    assert "Warning: mnist-net 1.0.0 is yanked since" in pulled.stderr


def test_the_command_takes_a_mark_back(crate, tmp_path, torchcrate):
    registry = tmp_path / "registry"
    torchcrate("publish", crate, "--to", registry)
    never = torchcrate("yank", ASKED, "--undo", "--from", registry)
    torchcrate("yank", ASKED, "--why", "reads 7 as 1", "--from", registry)

    both = torchcrate("yank", ASKED, "--undo", "--why", "no matter", "--from", registry)
    neither = torchcrate("yank", ASKED, "--from", registry)
    first = torchcrate("yank", ASKED, "--undo", "--from", registry)
    second = torchcrate("yank", ASKED, "--undo", "--from", registry)

    assert never.stdout == f"mnist-net 1.0.0 in {registry} is not yanked\n"
    assert (both.returncode, neither.returncode) == (2, 2)
    assert "say with --why" in neither.stderr
    assert f"mnist-net 1.0.0 in {registry} was yanked from 20" in first.stdout
    assert "was already yanked from 20" in second.stdout

"""Whose manifest counts, and what is covered, when publishers of one version met on a server."""

import hashlib

import httpx
import pytest

from torchcrate.errors import RegistryError
from torchcrate.release.manifest import MANIFEST, SUMS
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull


def put(gitlab, crate, *names):
    """Store files of a crate under mnist-net 1.0.0, as a publisher that was too slow does."""
    for name in names or [path.name for path in sorted(crate.iterdir())]:
        url = gitlab.url("mnist-net", "1.0.0", name)
        headers = {"PRIVATE-TOKEN": "glpat-developer"}
        httpx.put(url, content=(crate / name).read_bytes(), headers=headers).raise_for_status()


@pytest.fixture
def standing(gitlab, tmp_path, contents):
    """What a pull of mnist-net 1.0.0 brings, by name."""

    def pulled():
        pull("mnist-net@1.0.0", gitlab.registry(), tmp_path / "standing")
        return contents(tmp_path / "standing")

    return pulled


@pytest.fixture
def crates(make_crate):
    """A crate, one of the same content with other evidence, and one of other content."""
    return make_crate(), make_crate(evidence=1), make_crate(changed=("model.pt",))


def test_the_first_sound_manifest_counts_and_all_that_hides_it_is_covered(
    gitlab, crates, standing, contents
):
    first, _, late = crates
    publish(first, gitlab.registry())
    put(gitlab, late)

    again = publish(first, gitlab.registry())

    assert {MANIFEST, SUMS, "model.pt"} <= set(again.uploaded)
    assert standing() == contents(first)


def test_where_only_newest_copies_can_be_had_the_first_publisher_must_cover_them(
    gitlab, crates, standing, contents
):
    first, _, late = crates
    gitlab.reset(by_id=False)
    publish(first, gitlab.registry())
    put(gitlab, late)

    with pytest.raises(RegistryError, match=r"first, and .* cannot give out its manifest"):
        publish(late, gitlab.registry())
    publish(first, gitlab.registry())

    assert standing() == contents(first)


def test_where_only_newest_copies_can_be_had_a_damaged_manifest_is_still_covered(
    gitlab, crates, standing, contents
):
    first, _, _ = crates
    gitlab.reset(by_id=False)
    gitlab.fault("damage", method="PUT", file=f"/{MANIFEST}")

    publish(first, gitlab.registry())

    assert standing() == contents(first)


def test_evidence_that_a_late_upload_hides_is_brought_back_by_whoever_has_the_content(
    gitlab, crates, standing, contents
):
    first, same, _ = crates
    publish(first, gitlab.registry())
    put(gitlab, same, "golden.safetensors", "parity.json")

    again = publish(same, gitlab.registry())

    assert again.already_there
    assert again.uploaded == ("golden.safetensors", "parity.json")
    assert standing() == contents(first)


@pytest.mark.parametrize("header", ["PRIVATE-TOKEN", "DEPLOY-TOKEN"])
def test_evidence_that_cannot_be_had_any_more_is_one_line_that_says_who_can(gitlab, crates, header):
    first, same, _ = crates
    gitlab.reset(by_id=False)
    publish(first, gitlab.registry())
    put(gitlab, same, "golden.safetensors")
    token = {"PRIVATE-TOKEN": "glpat-developer", "DEPLOY-TOKEN": "gldt-write"}[header]

    with pytest.raises(RegistryError, match=r"golden\.safetensors.*publish the crate") as caught:
        publish(same, gitlab.registry(token, header))

    assert "\n" not in str(caught.value)
    assert publish(first, gitlab.registry(token, header)).uploaded == ("golden.safetensors",)


def test_a_crate_of_other_content_touches_nothing_of_a_version_it_had_no_part_in(gitlab, crates):
    first, same, late = crates
    publish(first, gitlab.registry())
    put(gitlab, same, "golden.safetensors")
    before = gitlab.packages()

    with pytest.raises(RegistryError, match=r"other content, model\.pt"):
        publish(late, gitlab.registry())

    assert gitlab.packages() == before


@pytest.mark.parametrize("duplicates", [True, False])
@pytest.mark.parametrize(
    ("loser", "at"), [("same", 1), ("same", 2), ("same", 9), ("other", 1), ("other", 2)]
)
def test_whoever_is_overtaken_takes_its_uploads_back_and_is_told(
    gitlab, crates, standing, contents, duplicates, at, loser
):
    first, same, other = crates
    gitlab.reset(duplicates=duplicates)
    gitlab.fault("overtake", method="PUT", at=at, folder=str(first))

    if loser == "same":
        assert publish(same, gitlab.registry()).already_there
    else:
        with pytest.raises(RegistryError, match=r"other content, model\.pt|refuses duplicates"):
            publish(other, gitlab.registry())

    assert standing() == contents(first)


def test_a_version_that_a_first_upload_un_listed_is_listed_again_at_once(gitlab, crates):
    first, same, _ = crates
    gitlab.fault("overtake", method="PUT", folder=str(first))

    publish(same, gitlab.registry())

    puts = [(each["path"].rpartition("/")[2], bool(each["visible"])) for each in gitlab.log("PUT")]
    assert puts[:2] == [("CMakeLists.txt", False), (MANIFEST, True)]


def test_what_was_published_once_and_is_hidden_now_is_not_covered_by_other_content(gitlab, crates):
    first, same, other = crates
    publish(first, gitlab.registry())
    url = gitlab.url("mnist-net", "1.0.0", "LICENSE")
    data, headers = (first / "LICENSE").read_bytes(), {"PRIVATE-TOKEN": "glpat-developer"}
    httpx.put(url, content=data, params={"status": "hidden"}, headers=headers)

    with pytest.raises(RegistryError, match=r"model\.pt, and is hidden since"):
        publish(other, gitlab.registry())
    assert gitlab.visible() == {}
    publish(same, gitlab.registry())

    (visible,) = gitlab.visible().values()
    assert visible[MANIFEST] == hashlib.sha256((first / MANIFEST).read_bytes()).hexdigest()


def test_listing_it_again_is_tried_until_it_is_done(gitlab, crates, standing, contents):
    first, same, _ = crates
    gitlab.fault("overtake", method="PUT", folder=str(first))
    gitlab.fault("502", method="GET", file=f"/{MANIFEST}")
    gitlab.fault("503", method="PUT", file=f"/{MANIFEST}")

    publish(same, gitlab.registry())

    assert standing() == contents(first)

"""The release page of a tag: made once, brought up to date after, with links that last."""

import json

import httpx
import pytest

from torchcrate.errors import RegistryError
from torchcrate.release.announce.notes import notes
from torchcrate.release.announce.page import show
from torchcrate.release.manifest import SIGNATURE
from torchcrate.release.publish import publish
from torchcrate.release.settings import Credential, Settings

LINKED = [
    *("INSTRUCTION.md", "SHA256SUMS", "manifest.json", "model.onnx", "model.pt", "model.pth"),
    "parity.json",
]
TOKEN = {"PRIVATE-TOKEN": "glpat-developer"}


@pytest.fixture
def published(golden_crate, gitlab):
    """Notes of mnist-net 1.0.0, which the loopback GitLab holds."""
    publish(golden_crate("1.0.0"), gitlab.registry())
    return notes("mnist-net@1.0.0", gitlab.registry(), "")


@pytest.fixture
def showing(gitlab, published, hasty):
    """Make or update the page, with the token of a CI job unless another is named."""

    def made(tag="v1.0.0", token="glcbt-job", header="JOB-TOKEN", told=published, said=None):
        settings = Settings(gitlab.project, Credential(header, token), hasty)
        return show(told, tag, settings, print if said is None else said.append)

    return made


@pytest.fixture
def page(gitlab):
    """Read the page of a tag as a person's program does."""
    return lambda tag="v1.0.0": httpx.get(
        f"{gitlab.project}/releases/{tag.replace('/', '%2F')}", headers=TOKEN
    ).json()


def by_name(row):
    return {link["name"]: link for link in row["assets"]["links"]}


def test_a_job_makes_the_page_with_notes_and_permanent_links(gitlab, published, showing, page):
    done = showing()

    row = page()
    assert done.created
    assert sorted(done.links) == sorted(by_name(row)) == LINKED
    assert done.url == "http://gitlab.example/group/crates/-/releases/v1.0.0"
    assert row["name"] == "mnist-net 1.0.0"
    marked = f"<!-- torchcrate: mnist-net -->\n{published.body}<!-- torchcrate ends -->\n"
    assert row["description"] == marked
    for name, link in by_name(row).items():
        assert link["link_type"] == "package"
        assert link["url"] == gitlab.url("mnist-net", "1.0.0", name)
        assert link["direct_asset_url"].endswith(f"/-/releases/v1.0.0/downloads/{name}")
    assert {entry["credentials"][0] for entry in gitlab.log("POST")} == {"job-token"}


def test_a_permanent_link_leads_to_the_published_bytes(gitlab, golden_crate, showing):
    showing()

    url = f"{gitlab.project}/releases/v1.0.0/downloads/model.onnx"
    got = httpx.get(url, headers=TOKEN, follow_redirects=True)

    assert got.content == (golden_crate() / "model.onnx").read_bytes()


def test_a_run_again_changes_nothing_and_makes_nothing_twice(gitlab, showing, page):
    showing()
    before = page()

    again = showing()

    assert not again.created
    assert again.links == ()
    assert page() == before
    posts = [entry for entry in gitlab.log("POST") if entry["path"].endswith("links")]
    assert posts == []


def test_a_run_again_brings_notes_and_links_up_to_date(gitlab, published, showing, page):
    row = {"tag_name": "v1.0.0", "name": "x", "description": "by hand"}
    other = {"name": "paper", "url": "https://example.com/paper.pdf"}
    moved = {"name": "model.onnx", "url": "https://example.com/model.onnx"}
    renamed = {"name": "weights", "url": gitlab.url("mnist-net", "1.0.0", "model.pth")}
    assets = {"links": [other, moved, renamed]}
    httpx.post(f"{gitlab.project}/releases", json={**row, "assets": assets}, headers=TOKEN)

    done = showing()

    links = by_name(page())
    assert sorted(done.links) == LINKED
    assert sorted(links) == sorted([*LINKED, "paper"])
    assert links["model.onnx"]["url"] == gitlab.url("mnist-net", "1.0.0", "model.onnx")
    assert page()["name"] == "x"
    before, _, after = page()["description"].partition("<!-- torchcrate: mnist-net -->\n")
    assert (before, after) == ("by hand\n\n", f"{published.body}<!-- torchcrate ends -->\n")


def test_what_a_person_wrote_around_the_notes_stays_and_old_notes_go(
    gitlab, published, showing, page
):
    showing()
    ours = page()["description"]
    old = ours.replace(published.body, "Notes of yesterday.\n")
    body = {"description": f"Read me first.\n\n{old}\nThanks to all.\n"}
    httpx.put(f"{gitlab.project}/releases/v1.0.0", json=body, headers=TOKEN)

    showing()
    showing()

    assert page()["description"] == f"Read me first.\n\n{ours}\nThanks to all.\n"


@pytest.mark.parametrize("kind", ["lost", "500", "502", "429", "reset", "409"])
def test_a_page_is_made_through_a_fault(gitlab, showing, page, kind):
    said = []
    gitlab.fault(kind, method="POST", file="/releases")

    showing(said=said)

    assert sorted(by_name(page())) == LINKED
    assert len(said) == 1


@pytest.mark.parametrize("kind", ["lost", "500", "reset"])
def test_a_link_is_added_through_a_fault_and_not_twice(gitlab, showing, page, kind):
    body = {"tag_name": "v1.0.0"}
    httpx.post(f"{gitlab.project}/releases", json=body, headers=TOKEN)
    gitlab.fault(kind, at=3, method="POST", file="/links")

    done = showing()

    assert sorted(done.links) == LINKED
    assert len(page()["assets"]["links"]) == len(LINKED)


def test_more_links_than_a_page_of_a_list_are_all_seen(gitlab, showing, page):
    links = [{"name": f"n{i}", "url": f"https://example.com/{i}"} for i in range(120)]
    body = {"tag_name": "v1.0.0", "assets": {"links": links}}
    showing(tag="v1.0.1")
    httpx.post(f"{gitlab.project}/releases", json=body, headers=TOKEN)

    showing()

    assert showing().links == ()
    assert len(page()["assets"]["links"]) == 120 + len(LINKED)


def test_a_signature_is_linked_where_there_is_one(gitlab, showing, page):
    url = gitlab.url("mnist-net", "1.0.0", SIGNATURE)
    httpx.put(url, content=b"signed", headers=TOKEN)

    showing()

    assert SIGNATURE in by_name(page())


def test_a_tag_with_a_slash_has_a_page(showing, page):
    showing("mnist/v1.0.0")
    again = showing("mnist/v1.0.0")

    assert not again.created
    assert again.links == ()
    assert page("mnist/v1.0.0")["tag_name"] == "mnist/v1.0.0"


@pytest.mark.parametrize(
    ("options", "who", "words"),
    [
        ({"tags": ["v0.9.0"]}, {}, "no tag v1.0.0: push it first"),
        ({"protected_tags": ["v1.0.0"]}, {}, "right to the tag v1.0.0"),
        ({}, {"token": "glpat-guest", "header": "PRIVATE-TOKEN"}, "role Developer"),
        ({}, {"token": "gldt-write", "header": "DEPLOY-TOKEN"}, "a deploy token may not"),
    ],
    ids=["no tag", "protected tag", "guest", "deploy token"],
)
def test_a_refusal_is_one_line_that_says_what_to_do(
    gitlab, golden_crate, showing, page, options, who, words
):
    gitlab.reset(**options)
    publish(golden_crate("1.0.0"), gitlab.registry())

    with pytest.raises(RegistryError) as caught:
        showing(**who)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(who.get("token")) not in str(caught.value)
    assert "tag_name" not in page()


def test_a_taken_path_is_one_line(gitlab, showing):
    other = {"name": "x", "url": "https://example.com", "direct_asset_path": "/model.onnx"}
    body = {"tag_name": "v1.0.0", "assets": {"links": [other]}}
    httpx.post(f"{gitlab.project}/releases", json=body, headers=TOKEN)

    with pytest.raises(RegistryError, match="Filepath has already been taken; another link"):
        showing()


def test_the_command_takes_the_tag_of_the_job(gitlab, golden_crate, page, torchcrate, tmp_path):
    publish(golden_crate("1.0.0"), gitlab.registry())
    job = {"CI_API_V4_URL": f"{gitlab.root}/api/v4", "CI_PROJECT_ID": "42"}
    job |= {"CI_JOB_TOKEN": "glcbt-job", "CI_COMMIT_TAG": "release-1"}
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 1.0.0\n\n- All of it.\n")

    done = torchcrate("release", "mnist-net@1.0.0", cwd=tmp_path, **job)
    again = torchcrate("release", "mnist-net@1.0.0", "--json", cwd=tmp_path, **job)

    assert done.stdout.startswith("release release-1 created, 7 links: http://gitlab.example/")
    assert json.loads(again.stdout)["created"] is False
    assert "\n- All of it." in page("release-1")["description"]
    assert "glcbt-job" not in done.stdout + done.stderr + again.stderr


def test_for_a_folder_the_notes_are_printed(golden_crate, torchcrate, tmp_path):
    torchcrate("publish", golden_crate("1.0.0"), "--to", tmp_path / "registry")

    done = torchcrate("release", "mnist-net@1.0.0", "--from", tmp_path / "registry", cwd=tmp_path)

    assert done.returncode == 0
    assert "is a folder and has no release pages" in done.stderr
    assert "torchcrate pull mnist-net@1.0.0" in done.stdout

"""A crate goes out whole, once, and in an order that shows no reader a part of it."""

import re
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from torchcrate.errors import ContractError, FolderError, ParityError, RegistryError
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.manifest import MANIFEST, SUMS
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull

EVIDENCE = ["golden.safetensors", "parity.json"]


def test_what_was_published_comes_back_byte_for_byte(crate, registry, tmp_path, contents):
    published = publish(crate, registry)

    pull("mnist-net@1.0.0", registry, tmp_path / "out")

    assert contents(tmp_path / "out") == contents(crate)
    assert sorted(published.uploaded) == sorted(contents(crate))


def test_the_same_content_again_uploads_nothing(make_crate, registry):
    publish(make_crate(), registry)

    again = publish(make_crate(evidence=1), registry)

    assert again.already_there
    assert again.uploaded == ()


def test_the_evidence_that_stands_is_kept(make_crate, registry, tmp_path, contents):
    first = make_crate()
    publish(first, registry)

    publish(make_crate(evidence=1), registry)

    pull("mnist-net@1.0.0", registry, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(first)


def test_other_content_under_a_published_version_is_refused_by_name(
    make_crate, registry, tmp_path, contents
):
    first = make_crate()
    publish(first, registry)

    with pytest.raises(RegistryError) as caught:
        publish(make_crate(changed=("model.pt", "run_mnist.py")), registry)

    assert "model.pt, run_mnist.py" in str(caught.value)
    pull("mnist-net@1.0.0", registry, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(first)


def test_a_crate_without_its_seal_is_refused(crate, registry):
    (crate / SUMS).unlink()

    with pytest.raises(ContractError, match="sealed"):
        publish(crate, registry)

    assert not registry.published("mnist-net", "1.0.0")


def test_a_crate_that_changed_since_the_seal_is_refused(crate, registry):
    (crate / "model.pt").write_bytes(b"another model")

    with pytest.raises(ContractError, match=r"model\.pt"):
        publish(crate, registry)

    assert not registry.published("mnist-net", "1.0.0")


def test_a_crate_that_is_not_green_is_refused(make_crate, registry):
    red = make_crate(green=False)

    with pytest.raises(ParityError, match="not green"):
        publish(red, registry)

    assert not registry.published("mnist-net", "1.0.0")


def test_progress_reaches_the_size_of_every_file(crate, registry):
    seen = {}

    publish(crate, registry, lambda file, done, total: seen.update({file: (done, total)}))

    sizes = {path.name: path.stat().st_size for path in crate.iterdir()}
    assert seen == {name: (size, size) for name, size in sizes.items()}


def test_content_goes_first_then_evidence_then_sums_and_the_manifest_last(crate, gitlab):
    publish(crate, gitlab.registry())

    sent = gitlab.sent()
    assert sent[-4:] == [*EVIDENCE, SUMS, MANIFEST]
    assert set(sent) == {path.name for path in crate.iterdir()}
    assert len(sent) == len(set(sent))


def test_the_first_upload_hides_the_package_and_only_the_manifest_lists_it(crate, gitlab):
    publish(crate, gitlab.registry())

    statuses = [entry["query"].get("status", "as it is") for entry in gitlab.log("PUT")]
    assert statuses == ["hidden", *["as it is"] * (len(statuses) - 2), "default"]


def test_readers_see_nothing_before_the_last_request_that_writes(crate, gitlab, contents):
    publish(crate, gitlab.registry())

    puts = gitlab.log("PUT")
    assert [entry["visible"] for entry in puts[:-1]] == [{}] * (len(puts) - 1)
    assert puts[-1]["visible"] == {"mnist-net@1.0.0": contents(crate)}


def test_publishing_again_sends_nothing_that_could_hide_the_version(crate, gitlab):
    publish(crate, gitlab.registry())
    before = len(gitlab.log("PUT"))

    publish(crate, gitlab.registry())

    assert len(gitlab.log("PUT")) == before
    assert gitlab.visible()


def test_another_version_leaves_the_first_alone(make_crate, registry, tmp_path, contents):
    first, second = make_crate("1.0.0"), make_crate("1.0.1", seed=1)
    publish(first, registry)

    publish(second, registry)

    pull("mnist-net@1.0.0", registry, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(first)
    assert registry.versions("mnist-net") == ("1.0.0", "1.0.1")


def test_a_listed_version_that_is_not_ours_is_not_touched(crate, gitlab):
    url = gitlab.url("mnist-net", "1.0.0", "notes.txt")
    httpx.put(url, content=b"by hand", headers={"PRIVATE-TOKEN": "glpat-developer"})

    with pytest.raises(RegistryError, match="not published by torchcrate"):
        publish(crate, gitlab.registry())

    assert gitlab.visible()["mnist-net@1.0.0"].keys() == {"notes.txt"}


@pytest.mark.parametrize("left", ["nothing", "a leftover", "the version"])
def test_a_rehearsal_shows_the_very_requests_of_the_run_and_stores_nothing(crate, gitlab, left):
    if left == "a leftover":
        gitlab.fault("401", method="PUT", file=f"/{SUMS}")
        with pytest.raises(RegistryError, match="401"):
            publish(crate, gitlab.registry())
    elif left == "the version":
        publish(crate, gitlab.registry())
    stood, lines = gitlab.packages(), []

    rehearsed = publish(crate, gitlab.registry(rehearse=lines.append))

    assert gitlab.packages() == stood
    before = len(gitlab.log())
    assert publish(crate, gitlab.registry()) == rehearsed
    asked = [(each["method"], each["path"], each["query"]) for each in gitlab.log()[before:]]
    shown = [shown_request(line) for line in lines]
    if left != "the version":  # whose number is not known before
        asked = [(how, re.sub(r"/packages/\d+/", "/packages/ID/", at), q) for how, at, q in asked]
    assert shown == asked


def shown_request(line):
    """Return method, path and query of a line of a rehearsal."""
    method, url, *_ = line.split()
    parts = urlsplit(url)
    return method, parts.path, dict(parse_qsl(parts.query))


def test_a_rehearsal_of_a_folder_writes_nothing(crate, tmp_path):
    lines = []
    registry = FolderRegistry(tmp_path / "shelf", lines.append)

    publish(crate, registry)

    assert not (tmp_path / "shelf").exists()
    assert len(lines) == len(list(crate.iterdir())) + 1
    assert lines[-1].startswith("show ")


def test_a_rehearsal_with_a_deploy_token_shows_as_many_requests(crate, gitlab):
    lines = []

    publish(crate, gitlab.registry("gldt-write", "DEPLOY-TOKEN", rehearse=lines.append))

    before = len(gitlab.log())
    publish(crate, gitlab.registry("gldt-write", "DEPLOY-TOKEN"))
    asked = [(each["method"], each["path"], each["query"]) for each in gitlab.log()[before:]]
    assert sorted(map(str, map(shown_request, lines))) == sorted(map(str, asked))


@pytest.mark.parametrize("change", ["gone", "longer", "shorter"])
@pytest.mark.parametrize("kind", ["folder", "gitlab"])
def test_a_file_that_changes_while_it_is_published_is_one_line(
    crate, gitlab, tmp_path, change, kind
):
    registry = gitlab.registry() if kind == "gitlab" else FolderRegistry(tmp_path / "shelf")
    path = crate / "model.pt"
    data = {"longer": path.read_bytes() + b"x", "shorter": path.read_bytes()[:-1]}

    def progress(file, done, total):
        if file == "CMakeLists.txt" and done == total:
            path.write_bytes(data[change]) if change in data else path.unlink()

    with pytest.raises((RegistryError, FolderError), match=r"model\.pt") as caught:
        publish(crate, registry, progress)

    assert "\n" not in str(caught.value)
    assert registry.versions("mnist-net") == ()

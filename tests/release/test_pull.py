"""Nothing appears in the folder before all of it was checked, and nothing of a person's is lost."""

import json
import os
import shutil

import pytest

from torchcrate.errors import FolderError, RegistryError, UsageError
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.manifest import MANIFEST, SUMS
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.registry import NotFoundError


@pytest.fixture
def out(tmp_path):
    """Where tests pull to; the folder around it holds nothing else."""
    (tmp_path / "around").mkdir()
    return tmp_path / "around" / "out"


@pytest.fixture
def shelf(crate, tmp_path):
    """A folder registry that holds mnist-net 1.0.0, whose files a test may damage."""
    registry = FolderRegistry(tmp_path / "shelf")
    publish(crate, registry)
    return registry


@pytest.fixture
def stored(tmp_path):
    """The folder of mnist-net 1.0.0 in `shelf`."""
    return tmp_path / "shelf" / "mnist-net" / "1.0.0"


def test_latest_is_the_newest_by_number_and_not_by_spelling(make_crate, registry, out):
    for version in ("1.9.0", "1.10.0", "1.2.0", "2.0.0-dev.3"):
        publish(make_crate(version), registry)

    manifest = pull("mnist-net@latest", registry, out)

    assert manifest.version == "1.10.0"


def test_latest_may_be_a_pre_release_when_asked(make_crate, registry, out):
    for version in ("1.0.0", "1.1.0-dev.9", "1.1.0-dev.10"):
        publish(make_crate(version), registry)

    manifest = pull("mnist-net@latest", registry, out, pre=True)

    assert manifest.version == "1.1.0-dev.10"


def test_latest_among_pre_releases_only_names_the_newest(make_crate, registry, out):
    publish(make_crate("1.0.0-dev.2"), registry)

    with pytest.raises(NotFoundError, match=r"mnist-net@1\.0\.0-dev\.2"):
        pull("mnist-net@latest", registry, out)

    assert not out.exists()


@pytest.mark.parametrize("reference", ["mnist-net@2.0.0", "other@1.0.0", "other@latest"])
def test_what_is_not_published_is_not_found(crate, registry, out, reference):
    publish(crate, registry)

    with pytest.raises(NotFoundError):
        pull(reference, registry, out)

    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    "reference", ["mnist-net", "mnist-net@", "mnist-net@1.0", "@1.0.0", "../x@1.0.0", "..@1.0.0"]
)
def test_a_reference_that_is_none_is_refused(shelf, out, reference):
    with pytest.raises(UsageError):
        pull(reference, shelf, out)

    assert list(out.parent.iterdir()) == []


def test_pulling_again_changes_nothing(crate, registry, out, contents):
    publish(crate, registry)
    pull("mnist-net@1.0.0", registry, out)
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}

    pull("mnist-net@1.0.0", registry, out)

    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert contents(out.parent) == {f"out/{name}": sha for name, sha in contents(crate).items()}


def test_another_version_takes_the_place_of_the_old_one_whole(make_crate, registry, out, contents):
    first, second = make_crate("1.0.0"), make_crate("1.1.0", seed=1)
    for crate in (first, second):
        publish(crate, registry)
    pull("mnist-net@1.1.0", registry, out)
    (out / "__pycache__").mkdir()

    pull("mnist-net@1.0.0", registry, out)

    assert contents(out) == contents(first)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_files_of_the_user_stay(make_crate, registry, out, contents):
    first, second = make_crate("1.0.0"), make_crate("1.1.0", seed=1)
    for crate in (first, second):
        publish(crate, registry)
    pull("mnist-net@1.0.0", registry, out)
    (out / "my-notes.txt").write_text("mine")

    pull("mnist-net@1.1.0", registry, out)

    assert (out / "my-notes.txt").read_text() == "mine"
    (out / "my-notes.txt").unlink()
    assert contents(out) == contents(second)


def test_a_file_that_the_new_version_no_longer_has_goes(make_crate, registry, out, reseal):
    first, second = make_crate("1.0.0"), make_crate("1.1.0")
    (second / "LICENSE").unlink()
    reseal(second, "1.1.0")
    for crate in (first, second):
        publish(crate, registry)
    pull("mnist-net@1.0.0", registry, out)
    (out / "my-notes.txt").write_text("mine")

    pull("mnist-net@1.1.0", registry, out)

    assert not (out / "LICENSE").exists()


@pytest.mark.parametrize("pulled_before", [True, False])
def test_a_file_edited_by_the_user_stops_the_pull(
    make_crate, registry, out, contents, pulled_before
):
    for version in ("1.0.0", "1.1.0"):
        publish(make_crate(version, seed=hash(version) % 7), registry)
    out.mkdir()
    if pulled_before:
        pull("mnist-net@1.0.0", registry, out)
    (out / "run_mnist.py").write_text("print('mine')")
    before = contents(out)

    with pytest.raises(FolderError, match=r"another run_mnist\.py"):
        pull("mnist-net@1.1.0", registry, out)

    assert contents(out.parent) == {f"out/{name}": sha for name, sha in before.items()}


def test_a_link_under_a_name_of_the_crate_is_not_followed(shelf, out, tmp_path):
    out.mkdir()
    (tmp_path / "precious").write_text("mine")
    (out / "model.pt").symlink_to(tmp_path / "precious")

    with pytest.raises(FolderError, match=r"model\.pt"):
        pull("mnist-net@1.0.0", shelf, out)

    assert (tmp_path / "precious").read_text() == "mine"


def test_a_link_to_a_folder_is_pulled_into(shelf, crate, out, tmp_path, contents):
    out.symlink_to(tmp_path / "elsewhere")

    pull("mnist-net@1.0.0", shelf, out)

    assert contents(tmp_path / "elsewhere") == contents(crate)


def test_the_current_folder_can_be_pulled_into(shelf, crate, out, contents, monkeypatch):
    out.mkdir()
    monkeypatch.chdir(out)

    pull("mnist-net@1.0.0", shelf, out)

    assert set(os.listdir()) == set(contents(crate))


def test_a_folder_that_cannot_be_written_is_one_line(shelf, out):
    out.write_text("a file, not a folder")

    with pytest.raises(FolderError, match="not a directory"):
        pull("mnist-net@1.0.0", shelf, out)

    assert out.read_text() == "a file, not a folder"


def test_what_a_killed_pull_left_beside_is_swept(shelf, crate, out, contents):
    left = out.with_name(".out.0123456789abcdef.partial")
    left.mkdir()
    (left / "model.pt").write_bytes(b"half")

    pull("mnist-net@1.0.0", shelf, out)

    assert [path.name for path in out.parent.iterdir()] == ["out"]


@pytest.mark.parametrize("file", ["model.pt", "golden.safetensors", SUMS, MANIFEST])
@pytest.mark.parametrize("damage", ["flipped", "cut", "longer", "missing"])
def test_a_damaged_file_leaves_nothing(shelf, stored, out, file, damage):
    data = bytearray((stored / file).read_bytes())
    data[len(data) // 2] ^= 1
    shorter, longer = data[: len(data) // 2], data + b"more"
    (stored / file).write_bytes({"cut": shorter, "longer": longer}.get(damage, data))
    if damage == "missing":
        (stored / file).unlink()

    with pytest.raises(RegistryError, match=r"SHA256SUMS|manifest\.json|not published|sent|exist"):
        pull("mnist-net@1.0.0", shelf, out)

    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../escape", "/etc/escape", "..", ".hidden", "a/b", "a\\b", "", SUMS, MANIFEST, "x\n"]
)
def test_a_name_that_no_crate_may_hold_is_refused(shelf, stored, out, name):
    value = json.loads((stored / MANIFEST).read_bytes())
    value["files"][0]["name"] = name
    (stored / MANIFEST).write_text(json.dumps(value))

    with pytest.raises(RegistryError, match="which no crate may hold"):
        pull("mnist-net@1.0.0", shelf, out)

    assert list(out.parent.iterdir()) == []


def test_a_manifest_of_another_version_is_refused(shelf, stored, out):
    shutil.copytree(stored, stored.with_name("2.0.0"))

    with pytest.raises(RegistryError, match=r"has the manifest of mnist-net 1\.0\.0"):
        pull("mnist-net@2.0.0", shelf, out)

    assert list(out.parent.iterdir()) == []


def test_a_manifest_without_end_is_refused(shelf, stored, out):
    with (stored / MANIFEST).open("r+b") as file:
        file.truncate(1 << 30)

    with pytest.raises(RegistryError, match="more than"):
        pull("mnist-net@1.0.0", shelf, out)

    assert list(out.parent.iterdir()) == []


def test_a_manifest_of_a_newer_format_says_what_to_upgrade(shelf, stored, out):
    value = json.loads((stored / MANIFEST).read_bytes())
    value["schema"] = "2.0"
    (stored / MANIFEST).write_text(json.dumps(value))

    with pytest.raises(RegistryError, match="upgrade torchcrate"):
        pull("mnist-net@1.0.0", shelf, out)


@pytest.mark.parametrize("kind", ["flip", "short", "long"])
@pytest.mark.parametrize("file", ["model.pt", SUMS, MANIFEST])
def test_a_download_that_lies_leaves_nothing(crate, gitlab, out, kind, file):
    publish(crate, gitlab.registry())
    gitlab.fault(kind, times=0, method="GET", file=f"/{file}")

    with pytest.raises(RegistryError):
        pull("mnist-net@1.0.0", gitlab.registry(), out)

    assert list(out.parent.iterdir()) == []


def test_a_download_that_breaks_goes_on_where_it_stopped(crate, gitlab, out, contents):
    publish(crate, gitlab.registry())
    gitlab.fault("truncate", method="GET", file="/model.pt")

    pull("mnist-net@1.0.0", gitlab.registry(), out)

    asked = [e["range"] for e in gitlab.log("GET") if e["path"].endswith("/model.pt")]
    half = (crate / "model.pt").stat().st_size // 2
    assert asked == ["", f"bytes={half}-"]
    assert contents(out) == contents(crate)


def test_a_download_that_keeps_breaking_ends_in_one_line(crate, gitlab, out):
    publish(crate, gitlab.registry())
    gitlab.fault("500", times=0, method="GET", file="/model.pt")

    with pytest.raises(RegistryError, match="answered 500") as caught:
        pull("mnist-net@1.0.0", gitlab.registry(), out)

    assert "\n" not in str(caught.value)
    assert list(out.parent.iterdir()) == []

"""Nothing appears in the folder before all of it was checked, and nothing of a person's is lost."""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
from contextlib import closing
from datetime import UTC, datetime

import pytest

from torchcrate.errors import FolderError, RegistryError, UsageError
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.gitlab import GitLabRegistry
from torchcrate.release.manifest import MANIFEST, SUMS, Manifest
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.registry import NotFoundError
from torchcrate.release.settings import Credential, Settings
from torchcrate.release.yank import yank


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


@pytest.mark.parametrize(
    ("wanted", "pre", "got"),
    [
        ("1", False, "1.10.0"),
        ("^1.2", False, "1.10.0"),
        (">=1,<1.10", False, "1.9.0"),
        ("1.10", True, "1.10.1-dev.1"),
        (">=1.10,<2", False, "1.10.0"),
    ],
)
def test_a_range_is_the_newest_version_inside_that_is_not_yanked(
    make_crate, registry, out, wanted, pre, got
):
    for version in ("1.2.0", "1.9.0", "1.10.0", "1.10.1-dev.1", "1.11.0", "2.0.0"):
        publish(make_crate(version), registry)
    yank("mnist-net@1.11.0", "why", registry, datetime.now(UTC))

    assert pull(f"mnist-net@{wanted}", registry, out, pre=pre).version == got


def test_a_range_without_a_version_names_the_newest_there_is(crate, registry, out):
    publish(crate, registry)

    with pytest.raises(NotFoundError, match=r"within \^2, the newest is 1\.0\.0") as caught:
        pull("mnist-net@^2", registry, out)

    assert "\n" not in str(caught.value)


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
    "reference", ["mnist-net", "mnist-net@", "mnist-net@1.x", "@1.0.0", "../x@1.0.0", "..@1.0.0"]
)
def test_a_reference_that_is_none_is_refused(shelf, out, reference):
    with pytest.raises(UsageError):
        pull(reference, shelf, out)

    assert list(out.parent.iterdir()) == []


def test_a_file_that_a_registry_lost_is_named_with_the_remedy(shelf, stored, out):
    lost = stored / "model.pt"
    lost.unlink()

    with pytest.raises(NotFoundError) as caught:
        pull("mnist-net@1.0.0", shelf, out)

    assert str(caught.value) == (
        f"mnist-net 1.0.0 has lost model.pt: {lost} does not exist; let its publisher publish the "
        "same crate once more, which puts it back"
    )
    assert not out.exists()


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


@pytest.mark.parametrize("kind", ["flip", "short"])
@pytest.mark.parametrize("file", ["model.pt", SUMS, MANIFEST])
def test_one_download_that_lies_is_tried_again(crate, gitlab, out, contents, kind, file):
    publish(crate, gitlab.registry())
    gitlab.fault(kind, method="GET", file=f"/{file}")

    pull("mnist-net@1.0.0", gitlab.registry(), out)

    assert contents(out) == contents(crate)


@pytest.mark.parametrize(
    ("credential", "advice"),
    [
        (None, "set GITLAB_TOKEN if the project is not public"),
        (Credential("PRIVATE-TOKEN", "glpat-unknown"), "check that the token is valid"),
    ],
    ids=["no token", "a token nobody knows"],
)
def test_who_may_not_read_is_told_what_to_do(crate, gitlab, out, credential, advice):
    publish(crate, gitlab.registry())
    stranger = GitLabRegistry(Settings(gitlab.project, credential))

    with closing(stranger), pytest.raises(RegistryError, match=advice):
        pull("mnist-net@1.0.0", stranger, out)


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


FOR_ALL = {"INSTRUCTION.md", "LICENSE", "golden.safetensors", "parity.json", MANIFEST, SUMS}


@pytest.mark.parametrize(
    ("only", "files"),
    [
        (["onnx"], {"model.onnx", "requirements-onnx.txt", "run_mnist.py"}),
        (["cpp"], {"model.pt", "CMakeLists.txt"}),
        (["torchscript"], {"model.pt", "run_mnist.py"}),
        (["eager", "cpp"], {"model.pth", "run_mnist.py", "model.pt", "CMakeLists.txt"}),
    ],
)
def test_one_format_comes_with_what_it_needs_and_nothing_else(
    crate, registry, out, contents, only, files
):
    publish(crate, registry)

    pull("mnist-net@1.0.0", registry, out, only=only)

    whole = contents(crate)
    assert contents(out) == {name: whole[name] for name in files | FOR_ALL}


def test_the_sums_hold_for_the_part_that_was_pulled(crate, shelf, out):
    pull("mnist-net@1.0.0", shelf, out, only=["onnx"])

    command = ["sha256sum", "--ignore-missing", "--strict", "-c", SUMS]
    done = subprocess.run(command, cwd=out, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert "model.onnx: OK" in done.stdout


def test_an_unknown_format_names_those_that_there_are(shelf, out):
    with pytest.raises(UsageError, match="has no tflite; it states cpp, onnx, torchscript, eager"):
        pull("mnist-net@1.0.0", shelf, out, only=["tflite"])

    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("own", [True, False], ids=["with own files", "alone"])
def test_the_folder_holds_what_was_asked_for_last(crate, shelf, out, contents, own):
    """Formats pulled before go, as files of an earlier version do; a person's own stay."""
    whole = contents(crate)
    pull("mnist-net@1.0.0", shelf, out, only=["cpp"])
    if own:
        (out / "my-notes.txt").write_text("mine")
        whole["my-notes.txt"] = hashlib.sha256(b"mine").hexdigest()

    pull("mnist-net@1.0.0", shelf, out)
    all_of_it = contents(out)
    pull("mnist-net@1.0.0", shelf, out, only=["onnx"])

    assert all_of_it == whole
    onnx = {"model.onnx", "requirements-onnx.txt", "run_mnist.py", *FOR_ALL}
    assert contents(out) == {n: whole[n] for n in onnx | ({"my-notes.txt"} if own else set())}


def test_an_edited_file_of_a_format_that_is_not_asked_for_stays(shelf, out):
    pull("mnist-net@1.0.0", shelf, out)
    (out / "model.pth").write_text("fine-tuned")

    pull("mnist-net@1.0.0", shelf, out, only=["onnx"])

    assert (out / "model.pth").read_text() == "fine-tuned"
    assert not (out / "model.pt").exists()


def test_a_version_that_changes_meanwhile_is_pulled_anew(
    make_crate, shelf, stored, out, tmp_path, contents
):
    other = make_crate(seed=1)
    publish(other, FolderRegistry(tmp_path / "other"))

    def another_publisher(file, done, total):
        shutil.rmtree(stored)
        shutil.copytree(tmp_path / "other" / "mnist-net" / "1.0.0", stored)

    pull("mnist-net@1.0.0", shelf, out, another_publisher)

    assert contents(out) == contents(other)
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_a_version_that_keeps_changing_is_refused(make_crate, shelf, stored, out, tmp_path):
    for seed in (0, 1):
        publish(make_crate(seed=seed), FolderRegistry(tmp_path / f"other-{seed}"))
    turns = itertools.count(1)

    def publishers(file, done, total):
        shutil.rmtree(stored)
        shutil.copytree(tmp_path / f"other-{next(turns) % 2}" / "mnist-net" / "1.0.0", stored)

    with pytest.raises(RegistryError, match="a late upload may shadow it: try again later"):
        pull("mnist-net@1.0.0", shelf, out, publishers)

    assert list(out.parent.iterdir()) == []


def test_a_shadowed_file_is_asked_for_twice_at_most(crate, gitlab, out):
    publish(crate, gitlab.registry())
    gitlab.fault("flip", times=0, method="GET", file="/LICENSE")

    with pytest.raises(RegistryError, match="publish the same crate once more"):
        pull("mnist-net@1.0.0", gitlab.registry(), out)

    asked = [entry["path"].rpartition("/")[2] for entry in gitlab.log("GET")]
    assert asked.count("LICENSE") == 2
    assert asked.count(MANIFEST) == 2


def test_the_bytes_in_all_are_told_before_the_first_one(crate, shelf, out):
    told = []

    pull("mnist-net@1.0.0", shelf, out, lambda *now: told.append(now), on_total=told.append)

    manifest = Manifest.parse((crate / MANIFEST).read_bytes())
    assert told[0] == sum(file.size for file in manifest.files)
    assert told.count(told[0]) == 1


def test_a_link_in_place_of_the_lock_is_not_followed(shelf, out, tmp_path):
    out.with_name(".out.lock").symlink_to(tmp_path / "planted")

    with pytest.raises(FolderError, match="symbolic links"):
        pull("mnist-net@1.0.0", shelf, out)

    assert not (tmp_path / "planted").exists()

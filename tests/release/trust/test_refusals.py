"""Whoever may write to a registry cannot reach out of DIR, fill the disk, or lie about a file."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from torchcrate.errors import CrateError, FolderError, RegistryError
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS
from torchcrate.release.pull import pull


@pytest.fixture
def out(tmp_path):
    """Where tests pull to; the folder around it holds nothing else."""
    (tmp_path / "around").mkdir()
    return tmp_path / "around" / "out"


@pytest.fixture
def stored(crate, put) -> Path:
    return put(crate)


@pytest.fixture
def rewrite(stored) -> Callable[[Callable[[list[dict]], None]], None]:
    """Change the files that the manifest lists, and make the sums agree with it."""

    def rewrite(change: Callable[[list[dict]], None]) -> None:
        value = json.loads((stored / MANIFEST).read_bytes())
        change(value["files"])
        data = json.dumps(value).encode()
        (stored / MANIFEST).write_bytes(data)
        lines = [f"{file['sha256']}  {file['name']}\n" for file in value["files"]]
        lines.append(f"{hashlib.sha256(data).hexdigest()}  {MANIFEST}\n")
        (stored / SUMS).write_text("".join(lines))

    return rewrite


def refused(shelf, out, kind: type[CrateError] = RegistryError, words: str | None = None) -> None:
    with pytest.raises(kind, match=words) as caught:
        pull("mnist-net@1.0.0", shelf, out)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("size", [0, 1, 99, 10**6, 2**50])
def test_a_size_that_lies_is_refused(shelf, rewrite, out, size):
    rewrite(lambda files: files[-1].update(size=size))

    refused(shelf, out, words=r"run_mnist\.py with (more than )?\d+ bytes")

    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("size", [-1, 2**62, 2**63, 2**64, 1.5, "100", None])
def test_a_size_that_is_none_is_refused(shelf, rewrite, out, size):
    rewrite(lambda files: files[-1].update(size=size))

    refused(shelf, out)

    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["model.pt", "Model.pt"])
def test_a_name_that_stands_twice_is_refused(shelf, rewrite, out, name):
    rewrite(lambda files: files.append(files[0] | {"name": name}))

    refused(shelf, out)

    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../escape", "/tmp/escape", "a/../../escape", "\x1b[2Jx", "x" * 10**5]
)
def test_a_name_that_climbs_is_refused_in_a_short_line(shelf, rewrite, out, name):
    rewrite(lambda files: files[0].update(name=name))

    refused(shelf, out, words="which no crate may hold")

    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("field", ["name", "version", "schema", "content", "commit"])
@pytest.mark.parametrize(
    "value", ["x\ny", "\x1b[2J", "2" * 10**6, "\ud800"], ids=["a", "b", "c", "d"]
)
def test_whatever_a_manifest_says_of_itself_the_answer_is_one_short_line(
    shelf, stored, out, field, value
):
    said = json.loads((stored / MANIFEST).read_bytes()) | {field: value}
    (stored / MANIFEST).write_text(json.dumps(said))

    refused(shelf, out)

    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize(
    "data",
    [
        b'{"schema": "1.0", "x": ' + b"[" * 10**6,
        b'{"schema": "\xff"}',
        b"[" * 10**6,
        b'{"schema": "1.0", "name": 1e999999}',
        b"\xef\xbb\xbf{}",
        b"",
    ],
    ids=["nested", "not-utf-8", "arrays", "number", "mark", "empty"],
)
def test_a_manifest_made_to_break_its_reader_is_one_line(shelf, stored, out, data):
    (stored / MANIFEST).write_bytes(data)

    refused(shelf, out, words="is not a manifest")

    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("file", [SUMS, SIGNATURE])
def test_a_small_file_of_a_gigabyte_is_refused(shelf, stored, out, file):
    (stored / file).touch()
    os.truncate(stored / file, 1 << 30)

    refused(shelf, out, words="no such file has")

    assert list(out.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["model.pt", MANIFEST, SUMS, SIGNATURE])
def test_no_link_in_the_folder_is_written_through(
    crate, put, signer, shelf, out, tmp_path, name, contents
):
    put(crate, signer=signer)
    (tmp_path / "precious").write_text("mine")
    out.mkdir()
    (out / name).symlink_to(tmp_path / "precious")
    (out / "notes.txt").write_text("keeps the folder from being swapped")

    refused(shelf, out, FolderError, name)

    assert (tmp_path / "precious").read_text() == "mine"
    assert set(contents(out)) == {name, "notes.txt"}
    assert list(out.parent.iterdir()) == [out]


def test_a_link_that_leads_to_the_same_bytes_is_not_taken_for_the_file(
    shelf, stored, out, tmp_path
):
    (tmp_path / "copy").write_bytes((stored / "model.pt").read_bytes())
    out.mkdir()
    (out / "model.pt").symlink_to(tmp_path / "copy")

    refused(shelf, out, FolderError, r"model\.pt")


def test_a_link_where_the_hidden_folder_would_be_is_not_followed(shelf, stored, out, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    out.with_name(".out.0123456789abcdef.partial").symlink_to(tmp_path / "precious")

    pull("mnist-net@1.0.0", shelf, out)

    assert (tmp_path / "precious" / "thesis.txt").read_text() == "years of work"

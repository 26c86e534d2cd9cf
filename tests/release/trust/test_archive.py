"""An archive is read as torch reads it or not at all: nothing hides between two readers."""

import contextlib
import io
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from torchcrate.errors import TrustError
from torchcrate.release.trust.archive import content, entries

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(Path(__file__).parents[1])
    import tiny as models

GOOD = {"data.pkl": b"N.", "data/0": b"12345678", "version": b"3\n"}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.pth"


def refused(file, data, words=None):
    file.write_bytes(data)
    with pytest.raises(TrustError, match=words) as caught:
        entries(file)
    assert "\n" not in str(caught.value)


def test_a_plain_archive_is_read_as_zipfile_reads_it(file, tiny):
    file.write_bytes(tiny.archive(GOOD))

    found = entries(file)

    assert {name: content(file, entry) for name, entry in found.items()} == GOOD


def test_what_torch_itself_writes_is_read(file):
    state = {str(index): torch.arange(index, dtype=torch.float32) for index in range(70)}
    torch.save(state, file)

    found = entries(file)

    assert content(file, found["data/69"]) == state["69"].numpy().tobytes()


def test_archives_beyond_32_bits_are_read(file, tiny, monkeypatch):
    """As large ones are written, without their size."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1)

    file.write_bytes(tiny.archive(GOOD))

    assert b"PK\6\6" in file.read_bytes()
    assert {name: content(file, entry) for name, entry in entries(file).items()} == GOOD


def test_three_gigabytes_are_judged_without_reading_them(file):
    size = 3 << 30
    head = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, size, size, 12, 0)
    row = struct.pack(
        *("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, size, size, 12, 0, 0, 0, 0, 0, 0)
    )
    start = len(head) + 12 + size
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(row) + 12, start, 0)
    with file.open("wb") as sparse:
        sparse.write(head + b"model/data/0")
        sparse.seek(start)
        sparse.write(row + b"model/data/0" + end)

    assert entries(file)["data/0"].size == size


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb_is_refused(file, tiny, method):
    refused(file, tiny.archive({"data.pkl": bytes(10**7)}, method), "compressed")


def test_an_entry_that_stands_for_many_overlapping_ones_is_refused(file, tiny):
    """The other kind of bomb: a thousand entries in the directory for the same bytes."""
    data = tiny.archive({"data/0": bytes(1000)})
    start = data.index(b"PK\1\2")
    row = data[start : data.index(b"PK\5\6")]
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1000, 1000, len(row) * 1000, start, 0)

    refused(file, data[:start] + row * 1000 + end, "begin at one place")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["model/data.pkl", "model/DATA.PKL"])
def test_a_name_twice_is_refused_whatever_its_case(file, other):
    """Torch's reader does not look at case, Python's does."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", b"N.")
        archive.writestr(other, b"evil")

    refused(file, buffer.getvalue(), "there twice")


@pytest.mark.parametrize(
    "name",
    [
        *("../model/x", "/model/x", "model/../../x", "model/./x", "model\\x", "model//x", "model/"),
        *("other/x", "x", "model/x\0y", "model/é", "C:/x", "", "model/" + "x" * 300 + "\n"),
    ],
)
def test_a_name_that_climbs_or_leaves_its_folder_is_refused(file, tiny, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/data.pkl", b"N.")
        info = zipfile.ZipInfo("placeholder")
        info.filename = name  # past what the constructor tidies up
        archive.writestr(info, b"evil")

    refused(file, buffer.getvalue())


def test_a_legacy_file_is_refused(file):
    torch.save({"weight": torch.zeros(2)}, file, _use_new_zipfile_serialization=False)

    refused(file, file.read_bytes(), "not the end of an archive")


def test_a_pickle_before_the_archive_is_refused(file, tiny):
    """Torch looks at the first bytes and would run it; zip readers look at the last ones."""
    buffer = io.BytesIO(b"cos\nsystem\n(S'true'\ntR.")
    buffer.seek(0, 2)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("model/data.pkl", b"N.")

    refused(file, buffer.getvalue(), "before its first entry")
    refused(file, b"N." + tiny.archive(GOOD))


def test_bytes_after_the_archive_are_refused(file, tiny):
    refused(file, tiny.archive(GOOD) + b"more")


def test_a_comment_is_refused(file, tiny):
    """It could hold a second end, which another reader takes for the end."""
    data = tiny.archive(GOOD)
    refused(file, data[:-2] + struct.pack("<H", len(data)) + data)


def test_bytes_between_entries_are_refused(file, tiny):
    data = tiny.archive({"data.pkl": b"N." + b"evil" * 9, "version": b"3\n"})
    for place in (18, 22):
        data = data[:place] + struct.pack("<I", 2) + data[place + 4 :]
    at = data.index(b"PK\1\2") + 20
    data = data[:at] + struct.pack("<II", 2, 2) + data[at + 8 :]

    refused(file, data, "does not end where the next begins")


@pytest.mark.parametrize(("place", "words"), [(22, "two sizes"), (30, "another head"), (6, "head")])
def test_an_entry_whose_own_head_disagrees_is_refused(file, tiny, place, words):
    data = bytearray(tiny.archive(GOOD))
    data[place] ^= 1

    refused(file, bytes(data), words)


def test_an_encrypted_entry_is_refused(file, tiny):
    data = bytearray(tiny.archive(GOOD))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1

    refused(file, bytes(data), "encrypted")


def test_a_directory_larger_than_sense_is_refused_before_it_is_read(file):
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 9, 9, 1 << 30, 0, 0)
    with file.open("wb") as sparse:
        sparse.seek(1 << 30)
        sparse.write(end)

    with pytest.raises(TrustError, match="its directory states"):
        entries(file)


def seen_by_torch(data: bytes) -> dict[str, bytes]:
    with torch.serialization._open_zipfile_reader(io.BytesIO(data)) as archive:
        return {name: archive.get_record(name) for name in archive.get_all_records()}


def seen_by_python(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


BYTES = st.one_of(
    st.binary(min_size=1, max_size=4),
    st.sampled_from([b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\7", b"\xff" * 4, b"data.pkl"]),
)


def test_what_is_accepted_is_the_same_to_python_and_to_torch(file):
    """Damage at random; whoever can still read it reads what was judged."""
    accepted = 0

    @settings(max_examples=500, deadline=None, database=None, derandomize=True)
    @given(st.lists(st.tuples(st.integers(0, 700), BYTES), min_size=1, max_size=3))
    def each(edits: list[tuple[int, bytes]]) -> None:
        nonlocal accepted
        data = models.archive(GOOD)
        for place, new in edits:
            at = place % len(data)
            data = data[:at] + new + data[at + len(new) :]
        file.write_bytes(data)
        with contextlib.suppress(TrustError):
            found = {name: content(file, entry) for name, entry in entries(file).items()}
            accepted += 1
            for read in (seen_by_python, seen_by_torch):
                with contextlib.suppress(zipfile.BadZipFile, RuntimeError):  # a sum is wrong
                    assert read(data) == found

    each()
    assert accepted > 20  # of 500; which ones are drawn depends on the constants in our sources


def test_no_cut_and_no_flipped_bit_of_the_frame_crashes(file, tiny):
    data = tiny.archive(GOOD)

    for place in range(len(data)):
        for damaged in (
            data[:place],
            data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :],
        ):
            file.write_bytes(damaged)
            with contextlib.suppress(TrustError):
                entries(file)

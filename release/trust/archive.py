"""A torch archive judged by its own bytes, so strictly that no two readers can see it differently.

torch reads these ZIP files with a library that forgives much: it finds names without
regard to case, and takes what the directory at the end says. A file that shows one face to
a check and another to torch must differ somewhere from what torch's own writer makes: stored
entries, back to back from the first byte on, then the directory, then the end. That is what
is asked for here, by hand; `zipfile` forgives as well. Nothing is unpacked, and memory does
not grow with the size of the weights.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Any, BinaryIO

from torchcrate.errors import TrustError
from torchcrate.files import reading

_LOCAL = Struct("<4s5H3I2H")
_CENTRAL = Struct("<4s6H3I5H2I")
_END = Struct("<4s4H2IH")
_LOCATOR = Struct("<4sIQI")
_END64 = Struct("<4sQ2H2I4Q")
_FULL, _FULL16 = 0xFFFFFFFF, 0xFFFF  # "see the 64-bit field"
_ZIP64 = 1  # number of the extra field that holds the 64-bit numbers
_FLAGS = 0x808  # sizes follow the data; names are UTF-8: all that torch's own writer sets
_DESCRIPTORS = (0, 12, 16, 20, 24)  # bytes that may follow the data where the first flag is set
_MOST_ENTRIES = 100_000
_MOST_DIRECTORY = 32 * 2**20  # bytes
_NAME = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*")


@dataclass(frozen=True)
class Entry:
    """One file in an archive, stored as it is.

    Attributes:
        name: Path inside the archive, without the folder that all entries share.
        start: Where its bytes begin in the file.
        size: How many there are.
    """

    name: str
    start: int
    size: int


@dataclass(frozen=True)
class _Row:
    """What the directory says of one entry."""

    name: str
    flags: int
    size: int
    at: int


def entries(path: Path) -> dict[str, Entry]:
    """Return the entries of the torch archive at `path`, by name.

    Raises:
        TrustError: If it is not laid out as torch writes archives: an entry is compressed,
            doubled, overlaps another, climbs, or lies about its size; or bytes are hidden.
        FolderError: If it cannot be read.
    """
    with reading(path), path.open("rb") as file:
        try:
            return _entries(file, path.stat().st_size)
        except _OddError as odd:
            raise TrustError(f"{path.name} is not an archive as torch writes it: {odd}") from odd


def content(path: Path, entry: Entry) -> bytes:
    """Return the bytes of one entry; the caller knows that it is small."""
    with reading(path), path.open("rb") as file:
        file.seek(entry.start)
        return file.read(entry.size)


class _OddError(Exception):
    """What is not as torch writes it."""


def _entries(file: BinaryIO, size: int) -> dict[str, Entry]:
    rows, directory = _directory(file, size)
    found: dict[str, Entry] = {}
    seen: set[str] = set()
    top = rows[0].name.partition("/")[0]
    following = [row.at for row in rows[1:]] + [directory]
    if rows[0].at != 0:
        raise _OddError("bytes lie before its first entry")
    for row, end in zip(rows, following, strict=True):
        folder, _, name = row.name.partition("/")
        if not _NAME.fullmatch(row.name) or {".", ".."} & set(row.name.split("/")):
            raise _OddError(f"an entry is named {row.name[:60]!r}")
        if folder != top or not name:
            raise _OddError(f"{row.name} is not in its folder {top}")
        if row.name.lower() in seen:
            raise _OddError(f"{row.name} is there twice")
        seen.add(row.name.lower())
        start = _local(file, row)
        gap = end - (start + row.size)
        if gap not in (_DESCRIPTORS if row.flags & 8 else (0,)):
            raise _OddError(f"{row.name} does not end where the next begins")
        found[name] = Entry(name, start, row.size)
    return found


def _local(file: BinaryIO, row: _Row) -> int:
    """Return where the data of an entry begins, once its own head says what the directory says."""
    head = _unpack(file, _LOCAL, row.at)
    mark, _, flags, method, _, _, _, packed, size, long, extra = head
    name = file.read(long)
    more = file.read(extra)
    if mark != b"PK\3\4" or name != row.name.encode() or flags != row.flags or method:
        raise _OddError(f"{row.name} has another head than the directory says")
    if len(more) != extra:
        raise _OddError("it is cut short")
    if packed == size == _FULL:
        wide = _wide(more)
        size, packed = (int.from_bytes(wide[i : i + 8], "little") for i in (0, 8))
    if (size, packed) != (row.size, row.size) and not (flags & 8 and size == packed == 0):
        raise _OddError(f"{row.name} has two sizes")
    start: int = row.at + _LOCAL.size + long + extra
    return start


def _directory(file: BinaryIO, size: int) -> tuple[list[_Row], int]:
    """Return the rows of the directory, which must end where the end record begins."""
    count, length, start = _end(file, size)
    if not 0 < count <= _MOST_ENTRIES or length > _MOST_DIRECTORY:
        raise _OddError(f"its directory states {count} entries in {length} bytes")
    file.seek(start)
    data = file.read(length)
    rows = list(_rows(data, count))
    if [row.at for row in rows] != sorted({row.at for row in rows}):
        raise _OddError("two entries begin at one place, or out of order")
    return rows, start


def _rows(data: bytes, count: int) -> Iterator[_Row]:
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(data):
            raise _OddError("its directory is cut short")
        head = _CENTRAL.unpack_from(data, at)
        mark, _, _, flags, method, _, _, _, packed, size, long, extra, note, disk, _, _, start = (
            head
        )
        name_at = at + _CENTRAL.size
        extra_at = name_at + long
        at = extra_at + extra + note
        if mark != b"PK\1\2" or at > len(data) or note or disk:
            raise _OddError("its directory is damaged")
        name = data[name_at:extra_at].decode("ascii", "replace")
        if method or packed != size:
            raise _OddError(f"{name[:60]!r} is compressed, which torch does not do")
        if flags & ~_FLAGS:
            raise _OddError(f"{name[:60]!r} is encrypted or patched")
        wide = _wide(data[extra_at : extra_at + extra])
        size, start = _widened(wide, size, packed, start)
        yield _Row(name, flags, size, start)
    if at != len(data):
        raise _OddError("its directory has more in it than its entries")


def _widened(wide: bytes, size: int, packed: int, start: int) -> tuple[int, int]:
    """Return size and place of an entry, from the 64-bit field where 32 bits do not hold them."""
    numbers = [int.from_bytes(wide[i : i + 8], "little") for i in range(0, len(wide), 8)]
    needed = [value for value in (size, packed, start) if value == _FULL]
    if len(wide) != 8 * len(needed):
        raise _OddError("an entry has 64-bit numbers that it does not need, or lacks them")
    if size == _FULL:
        size, packed, *numbers = numbers
        if size != packed:
            raise _OddError("an entry is compressed, which torch does not do")
    return size, numbers[0] if start == _FULL else start


def _wide(extra: bytes) -> bytes:
    """Return the 64-bit field among the extra fields of an entry, empty if there is none."""
    found = b""
    at = 0
    while at + 4 <= len(extra):
        kind = int.from_bytes(extra[at : at + 2], "little")
        length = int.from_bytes(extra[at + 2 : at + 4], "little")
        if kind == _ZIP64:
            if found or at + 4 + length > len(extra):
                raise _OddError("an entry has a damaged 64-bit field")
            found = extra[at + 4 : at + 4 + length]
        at += 4 + length
    return found


def _end(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Return how many entries the directory has, how long it is and where it begins."""
    at = size - _END.size
    mark, disk, first, here, count, length, start, note = _unpack(file, _END, at)
    if mark != b"PK\5\6" or disk or first or note or here != count:
        raise _OddError("its last bytes are not the end of an archive")
    if at >= _LOCATOR.size:
        mark, disk, wide_at, disks = _unpack(file, _LOCATOR, at - _LOCATOR.size)
        if mark == b"PK\6\7":
            at -= _LOCATOR.size + _END64.size
            if disk or disks != 1 or wide_at != at:
                raise _OddError("its 64-bit end is elsewhere")
            narrow = count, length, start
            mark, long, _, _, disk, first, here, count, length, start = _unpack(file, _END64, at)
            if mark != b"PK\6\6" or long != _END64.size - 12 or disk or first or here != count:
                raise _OddError("its 64-bit end is damaged")
            limits = (_FULL16, _FULL, _FULL)
            for wide, short, limit in zip((count, length, start), narrow, limits, strict=True):
                if short not in (wide, limit):
                    raise _OddError("it has two ends that disagree")
    if start + length != at:
        raise _OddError("its directory is not at its end")
    return count, length, start


def _unpack(file: BinaryIO, form: Struct, at: int) -> tuple[Any, ...]:
    if at < 0:
        raise _OddError("it is cut short")
    file.seek(at)
    data = file.read(form.size)
    if len(data) != form.size:
        raise _OddError("it is cut short")
    return form.unpack(data)

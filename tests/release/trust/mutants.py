"""Crates damaged at random: by decay, by mistake, and by somebody who means harm."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import tiny
from hypothesis import strategies as st

from torchcrate.export.artifact import Artifact
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS, content_digest

Files = dict[str, bytes]
Step = Callable[[Files], None]

PLACES = st.integers(0, 1 << 16)
FILES = st.one_of(st.integers(0, 5), PLACES)
NAMES = st.sampled_from(
    [
        *("../escape", "/tmp/escape", "..", ".", "", ".hidden", "a/b", "a\\b", "x\n", "x\0", "~x"),
        *("extra.txt", "MODEL.PTH", "model.pth ", "model.onnx", "model.pth", "model.pt", "LICENSE"),
        *(MANIFEST, SUMS, SIGNATURE, "yanked.json", "draft.json", "é", "x" * 300, "weights.bin"),
    ]
)
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    NAMES,
    st.sampled_from(
        ["0" * 64, "content", "evidence", "source", "onnx", "state_dict", "2.0", "1.0"]
    ),
    st.just([]),
    st.just({}),
    st.just([[]] * 3),
)
BYTES = st.one_of(
    st.binary(max_size=9),
    st.sampled_from(
        [
            *(b"cos\nsystem\n", b"\x93", b"R", b".", b"(", b"PK\3\4", b"PK\5\6", b"PK\1\2"),
            *(b"location", b"/etc/passwd", b"\x70\1", b"\xff" * 9, bytes(9), b"\n", b"{", b"}"),
        ]
    ),
)


def _pick(files: Files, place: int) -> str:
    """Return the name of a file, the models first: small numbers mean them."""
    return sorted(files, key=lambda name: (not name.startswith("model"), name))[place % len(files)]


def _flip(name: int, place: int, mask: int) -> Step:
    def step(files: Files) -> None:
        key = _pick(files, name)
        data = bytearray(files[key])
        if data:
            data[place % len(data)] ^= mask
        files[key] = bytes(data)

    return step


def _splice(name: int, place: int, length: int, new: bytes) -> Step:
    """Replace some bytes by others; nothing by something, or something by nothing."""

    def step(files: Files) -> None:
        key = _pick(files, name)
        data = files[key]
        at = place % (len(data) + 1)
        files[key] = data[:at] + new + data[at + length :]

    return step


def _cut(name: int, place: int) -> Step:
    def step(files: Files) -> None:
        key = _pick(files, name)
        files[key] = files[key][: place % (len(files[key]) + 1)]

    return step


def _drop(name: int) -> Step:
    return lambda files: files.update() if len(files) < 4 else files.__delitem__(_pick(files, name))


def _swap(one: int, other: int) -> Step:
    def step(files: Files) -> None:
        a, b = _pick(files, one), _pick(files, other)
        files[a], files[b] = files[b], files[a]

    return step


def _copy(one: int, other: int) -> Step:
    return lambda files: files.update({_pick(files, one): files[_pick(files, other)]})


def _rename(name: int, new: str, keep: bool) -> Step:
    def step(files: Files) -> None:
        key = _pick(files, name)
        data = files[key] if keep else files.pop(key)
        files[new] = data

    return step


def _repickle(parts: list[bytes], name: str) -> Step:
    """Put another pickle into a model; its archive is sound."""
    pickled = b"\x80\4" + b"".join(parts) + b"."
    make = tiny.state_dict if name == "model.pth" else tiny.torchscript
    return lambda files: files.update({name: make(bytes(8), pickled)})


def _repoint(location: str, flag: bool) -> Step:
    """Let the model take its numbers from a file; it is sound but for that."""
    entry = tiny.field(1, b"location") + tiny.field(2, location.encode())
    tensor = tiny.field(2, 1) + tiny.field(13, entry) + tiny.field(14, int(flag))
    return lambda files: files.update({"model.onnx": tiny.onnx(b"", tensor)})


def _manifest(change: Callable[[dict[str, Any]], None]) -> Step:
    """Change the manifest as a value; what is no manifest any more stays as it is."""

    def step(files: Files) -> None:
        try:
            value = json.loads(files[MANIFEST])
            change(value)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            return
        files[MANIFEST] = json.dumps(value, indent=2).encode() + b"\n"

    return step


def _set_field(place: int, junk: Any, gone: bool) -> Step:
    def change(value: dict[str, Any]) -> None:
        key = sorted(value)[place % len(value)]
        value[key] = junk
        if gone:
            del value[key]

    return _manifest(change)


def _set_entry(place: int, field: str, junk: Any) -> Step:
    return _manifest(lambda value: _at(value["files"], place).update({field: junk}))


def _move_entry(place: int, other: int, way: str) -> Step:
    def change(value: dict[str, Any]) -> None:
        entries = value["files"]
        entry = _at(entries, place)
        if way != "double":
            entries.remove(entry)
        if way != "drop":
            entries.insert(other % (len(entries) + 1), entry)

    return _manifest(change)


def _at(values: list[Any], place: int) -> Any:
    return values[place % len(values)]


def reseal(files: Files) -> None:
    """Make sizes, sums and digest true again, as somebody would who may write to the registry."""
    try:
        value = json.loads(files[MANIFEST])
        entries = [entry for entry in value["files"] if entry["name"] in files]
        for entry in entries:
            data = files[entry["name"]]
            entry |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        value["files"] = entries
        value["content"] = content_digest(Artifact(**entry) for entry in entries)
        lines = [f"{entry['sha256']}  {entry['name']}\n" for entry in entries]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return
    files[MANIFEST] = json.dumps(value, indent=2).encode() + b"\n"
    lines.append(f"{hashlib.sha256(files[MANIFEST]).hexdigest()}  {MANIFEST}\n")
    files[SUMS] = "".join(lines).encode("utf-8", "surrogatepass")


# Pieces of pickles, some of them names or the making of names, to be put together at random.
PICKLED = [
    *(b"(", b")", b"]", b"}", b"N", b"t", b"\x85", b"\x86", b"R", b"R", b"b", b"\x81", b"s", b"u"),
    *(b"a", b"e", b"Q", b"\x93", b"\x93", b"\x94", b"q\0", b"q\1", b"h\0", b"h\1", b"0", b"2"),
    *(b"\x8c\x05posix", b"\x8c\x06system", b"\x8c\x0bcollections", b"\x8c\x0bOrderedDict"),
    *(b"ccollections\nOrderedDict\n", b"cposix\nsystem\n", b"ctorch\nFloatStorage\n", b"K\1"),
    *(b"ccollections\nOrderedDict\n)R", b"\x8c\x0bcollections\x8c\x0bOrderedDict\x93)R"),
]
PARTS = st.lists(st.sampled_from(PICKLED), max_size=14)

STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(_flip, FILES, PLACES, st.integers(1, 255)),
    st.builds(_flip, FILES, PLACES, st.integers(1, 255)),
    st.builds(_splice, FILES, PLACES, st.integers(0, 40), BYTES),
    st.builds(_splice, FILES, PLACES, st.integers(0, 4), BYTES),
    st.builds(_cut, FILES, PLACES),
    st.builds(_drop, FILES),
    st.builds(_swap, FILES, FILES),
    st.builds(_copy, FILES, FILES),
    st.builds(_rename, FILES, NAMES, st.booleans()),
    st.builds(_repickle, PARTS, st.sampled_from(["model.pth", "model.pt"])),
    st.builds(_repoint, NAMES, st.booleans()),
    st.builds(_set_field, PLACES, JUNK, st.booleans()),
    st.builds(
        _set_entry, PLACES, st.sampled_from(["name", "role", "kind", "size", "sha256", "new"]), JUNK
    ),
    st.builds(_move_entry, PLACES, PLACES, st.sampled_from(["double", "drop", "move"])),
)
MUTATIONS = st.lists(STEPS, min_size=1, max_size=3)

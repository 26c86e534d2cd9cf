"""An ONNX model judged without onnx: it may take weights from no file but its own.

A tensor of a model can say that its numbers lie in another file, anywhere on the disk of
whoever loads it. The model is a protocol buffer; here its fields are walked where the file
lies, and only those messages are entered that can hold a tensor.
"""

import mmap
from collections.abc import Collection, Iterator
from pathlib import Path

from torchcrate.errors import TrustError
from torchcrate.files import reading

_DEEPEST = 100  # messages within messages; what protobuf's own readers allow
_MOST_FIELDS = 5_000_000  # a graph of 100,000 nodes has a tenth; weights are one field a tensor
_LONGEST = 4096  # bytes of the name of a file

# The fields of onnx.proto that hold a tensor, or something that can, by message and number.
HOLDERS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Tensor": {13: "Entry"},
    "Entry": {},
}
_GRAPH_OF_MODEL = 7
_DATA_LOCATION = 14  # of Tensor; 1 is "in another file"
_KEY, _VALUE = 1, 2  # of Entry
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

_Data = bytes | mmap.mmap


class _OddError(Exception):
    """What is wrong with a model."""


def judge(path: Path, files: Collection[str]) -> None:
    """Return if the ONNX model at `path` points at no file but those of its weights.

    Args:
        path: The model, of any size; it is mapped, not read.
        files: The names of the files that it may point at.

    Raises:
        TrustError: If it points elsewhere, or is no ONNX model.
        FolderError: If it cannot be read.
    """
    try:
        with reading(path), path.open("rb") as file:
            if not path.stat().st_size:
                raise _OddError("is empty")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                _walk(data, files)
    except _OddError as odd:
        raise TrustError(f"{path.name} {odd}") from odd


def _walk(data: _Data, files: Collection[str]) -> None:
    """Enter every message that can hold a tensor; messages wait in a list, not on the stack."""
    waiting = [("Model", 0, len(data), 0)]
    graphs = seen = 0
    while waiting:
        message, start, end, depth = waiting.pop()
        if depth > _DEEPEST:
            raise _OddError(f"holds messages more than {_DEEPEST} deep, no model does")
        outside: bool = False
        locations: list[bytes] = []
        for number, kind, value, stop in _fields(data, start, end):
            seen += 1
            if seen > _MOST_FIELDS:
                raise _OddError(f"has more than {_MOST_FIELDS} fields, no model does")
            held = HOLDERS[message].get(number)
            if held and kind != _BYTES:
                raise _OddError("is no ONNX model: a field of it has another type")
            if held == "Entry":
                outside = True
                locations += _location(data, value, stop)
            elif held:
                waiting.append((held, value, stop, depth + 1))
            elif (message, number, kind) == ("Tensor", _DATA_LOCATION, _VARINT):
                outside = outside or value != 0
            graphs += (message, number) == ("Model", _GRAPH_OF_MODEL)
        if outside:
            _require_inside(locations, files)
    if not graphs:
        raise _OddError("is no ONNX model: it holds no graph")


def _location(data: _Data, start: int, end: int) -> list[bytes]:
    """Return every value of an entry of `external_data` if its key is "location"."""
    keys: list[bytes] = []
    values: list[bytes] = []
    for number, kind, at, stop in _fields(data, start, end):
        if kind == _BYTES and number in (_KEY, _VALUE):
            (keys if number == _KEY else values).append(data[at : min(stop, at + _LONGEST)])
    return (values or [b""]) if b"location" in keys else []


def _require_inside(locations: list[bytes], files: Collection[str]) -> None:
    if not locations:
        raise _OddError("has a tensor that lies in another file, and does not say in which")
    for location in locations:
        name = location.decode(errors="replace")
        if name not in files:
            raise _OddError(
                f"takes a tensor from {name[:100]!r}, which is no file of the crate for its weights"
            )


def _fields(data: _Data, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield number and wire type of each field, with its value, or where its bytes begin and end.

    Raises:
        _OddError: If the bytes between `start` and `end` are no message.
    """
    at = start
    while at < end:
        tag, at = _varint(data, at, end)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise _OddError("is no ONNX model: a field of it has no number")
        if kind == _VARINT:
            value, at = _varint(data, at, end)
            yield number, kind, value, at
            continue
        if kind == _BYTES:
            length, at = _varint(data, at, end)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise _OddError(f"is no ONNX model: a field of it has the type {kind}")
        if length > end - at:
            raise _OddError("is no ONNX model, or cut short: a field is longer than what holds it")
        yield number, kind, at, at + length
        at += length


def _varint(data: _Data, at: int, end: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise _OddError("is no ONNX model, or cut short")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _OddError("is no ONNX model: a number in it has no end")

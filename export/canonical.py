"""The same network gives the same bytes: nothing of the machine, folder or process is kept."""

import io
import pickletools
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import IO, BinaryIO

import onnx

TOP = "model"  # the folder inside every archive; torch would take the file's own name
CONTRACT = "contract.json"  # the extra file that carries the contract
_ALIGNMENT = 64  # of each record's data, as torch's own writer does for mapping files
_PIECE = 2**20  # bytes that are read at once
_MACHINE = re.compile(r"\.debug_pkl$|(^|/)\.data/serialization_id$")
_MANGLE = re.compile(r"(___torch_mangle_)\d+")


def archive(source: BinaryIO, target: BinaryIO, extra: Mapping[str, bytes] | None = None) -> None:
    """Write the torch archive in `source` (.pth or .pt) as it would be on every machine.

    Dropped are source lines and paths (`*.debug_pkl`) and `serialization_id`; class
    names lose the number of the process; times, order and padding are fixed. Weights pass
    through in pieces, whatever the size of a tensor.

    Args:
        source: What torch wrote.
        target: An empty file.
        extra: Files that are added where `torch.jit.save` puts extra files, by name.
    """
    rename = _renumbering()
    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new,
    ):
        for stored in old.infolist():
            name = stored.filename.split("/", 1)[1]
            if _MACHINE.search(name):
                continue
            if name.endswith(".pkl") or name.startswith("code/"):
                content = _renamed(name, old.read(stored), rename)
                _add(new, rename(name), io.BytesIO(content), len(content))
            else:
                with old.open(stored) as record:
                    _add(new, rename(name), record, stored.file_size)
        for name, content in (extra or {}).items():
            _add(new, f"extra/{name}", io.BytesIO(content), len(content))


def _renamed(name: str, content: bytes, rename: Callable[[str], str]) -> bytes:
    if name.endswith(".pkl"):
        return b"".join(_renamed_pickle(content, rename))
    return rename(content.decode()).encode()


def _add(archive: zipfile.ZipFile, name: str, content: IO[bytes], size: int) -> None:
    """Add a record of `size` bytes whose data begins at an aligned place."""
    info = zipfile.ZipInfo(f"{TOP}/{name}")
    info.create_system = 3
    info.file_size = size
    header = 30 + len(info.filename.encode())
    if size * 1.05 > zipfile.ZIP64_LIMIT:
        header += 20  # zipfile states such a size in a field of its own
    assert archive.fp is not None
    info.extra = _padding(archive.fp.tell() + header)
    with archive.open(info, "w") as record:
        shutil.copyfileobj(content, record, _PIECE)


def graph(model: onnx.ModelProto, contract: bytes) -> bytes:
    """Return `model` as bytes, without notes of its making, with `contract` as metadata.

    Dropped are every doc string and node note (stack traces, module paths) and torch's
    local version suffix; `model` itself is changed.
    """
    model.producer_version = model.producer_version.split("+")[0]
    _forget_notes(model)
    onnx.helper.set_model_props(model, {"contract": contract.decode()})
    return bytes(model.SerializeToString(deterministic=True))


def _forget_notes(message: onnx.ModelProto) -> None:
    """Clear `doc_string` and `metadata_props` in `message` and in all that it holds."""
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.type == field.TYPE_MESSAGE:
            for child in value if field.is_repeated else [value]:
                _forget_notes(child)


def _renumbering() -> Callable[[str], str]:
    """Return a renaming of mangled class names: numbered from 0 by first appearance.

    TorchScript numbers repeated class names through the life of a process.
    """
    numbers: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"{match[1]}{numbers.setdefault(match[0], len(numbers))}"

    return lambda text: _MANGLE.sub(number, text)


def _renamed_pickle(data: bytes, rename: Callable[[str], str]) -> Iterator[bytes]:
    """Yield the opcodes of a pickle, class names in them renamed, lengths kept true."""
    steps = [(position or 0, op, arg) for op, arg, position in pickletools.genops(data)]
    ends = [position for position, _, _ in steps[1:]] + [len(data)]
    for (start, op, arg), end in zip(steps, ends, strict=True):
        raw = data[start:end]
        if not _MANGLE.search(str(arg)):
            yield raw
        elif op.name == "BINUNICODE":
            text = rename(str(arg)).encode()
            yield raw[:1] + len(text).to_bytes(4, "little") + text
        else:
            yield rename(raw.decode()).encode()


def _padding(offset: int) -> bytes:
    """Return an extra field that moves the data from `offset` on to the next alignment."""
    length = (-offset - 4) % _ALIGNMENT
    return b"FB" + length.to_bytes(2, "little") + b"Z" * length

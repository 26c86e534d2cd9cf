"""The same network gives the same bytes: nothing of the machine, folder or process is kept."""

import io
import pickletools
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import onnx

TOP = "model"  # the folder inside every archive; torch would take the file's own name
CONTRACT = "contract.json"  # the extra file that carries the contract
NETWORK = "network.json"  # the extra file of model.pth that says how the network is built
_ALIGNMENT = 64  # of each record's data, as torch's own writer does for mapping files
_MACHINE = re.compile(r"\.debug_pkl$|(^|/)\.data/serialization_id$")
_MANGLE = re.compile(r"(___torch_mangle_)\d+")


def archive(data: bytes, extra: Mapping[str, bytes] = MappingProxyType({})) -> bytes:
    """Return the torch archive `data` (.pth or .pt) as it would be on every machine.

    The files `extra` are added where `torch.jit.save` puts its own.

    Dropped are source lines and paths (`*.debug_pkl`) and `serialization_id`; class
    names lose the number of the process; times, order and padding are fixed.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        records = {
            name.split("/", 1)[1]: source.read(name)
            for name in source.namelist()
            if not _MACHINE.search(name.split("/", 1)[1])
        }
    records |= {f"extra/{name}": content for name, content in extra.items()}
    rename = _renumbering()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for name, content in records.items():
            if name.endswith(".pkl"):
                content = b"".join(_renamed_pickle(content, rename))
            elif name.startswith("code/"):
                content = rename(content.decode()).encode()
            info = zipfile.ZipInfo(f"{TOP}/{rename(name)}")
            info.create_system = 3
            info.extra = _padding(buffer.tell() + 30 + len(info.filename.encode()))
            target.writestr(info, content)
    return buffer.getvalue()


def graph(model: onnx.ModelProto, contract: bytes) -> bytes:
    """Return `model` as bytes, without notes of its making, with `contract` as metadata.

    Dropped are every doc string and node note (stack traces, module paths) and torch's
    local version suffix.
    """
    clean = onnx.ModelProto()
    clean.CopyFrom(model)
    clean.producer_version = clean.producer_version.split("+")[0]
    _forget_notes(clean)
    onnx.helper.set_model_props(clean, {"contract": contract.decode()})
    return bytes(clean.SerializeToString(deterministic=True))


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

"""Models of a few hundred bytes that are sound by their formats' rules, made without torch."""

import io
import json
import zipfile

MARK, STOP = b"(", b"."


def text(value: str) -> bytes:
    """Return the pickle instruction that puts a string on the stack."""
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def named(module: str, name: str) -> bytes:
    """Return the pickle instruction that puts what a module calls `name` on the stack."""
    return f"c{module}\n{name}\n".encode()


def archive(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a torch archive with these entries."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        for name, content in entries.items():
            target.writestr(zipfile.ZipInfo(f"model/{name}"), content, method)
    return buffer.getvalue()


def tensor_pickle(size: int) -> bytes:
    """Return the pickle of {"weight": tensor}, float32 of shape (size,)."""
    storage = MARK + text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu")
    storage += b"K" + bytes([size]) + b"tQ"
    shape = b"K\0" + b"K" + bytes([size]) + b"\x85" + b"K\1" + b"\x85" + b"\x89"
    hooks = named("collections", "OrderedDict") + b")R"
    made = named("torch._utils", "_rebuild_tensor_v2") + MARK + storage + shape + hooks + b"tR"
    return b"\x80\2}q\0" + MARK + text("weight") + made + b"u" + STOP


def state_dict(noise: bytes, pickled: bytes | None = None, **more: bytes) -> bytes:
    """Return a model.pth that holds `noise`, a multiple of 4 bytes, as its one tensor."""
    pickled = tensor_pickle(len(noise) // 4) if pickled is None else pickled
    entries = {"data.pkl": pickled, "byteorder": b"little", "data/0": noise, "version": b"3\n"}
    return archive(entries | more)


SCRIPTED = b"\x80\2" + named("__torch__.net", "Net") + b")\x81}b" + STOP


def torchscript(noise: bytes, pickled: bytes = SCRIPTED) -> bytes:
    """Return a model.pt with one constant, `noise`."""
    return archive(
        {
            "data.pkl": pickled,
            "code/__torch__/net.py": b"class Net(Module):\n  pass\n",
            "constants/0": noise,
            "constants.pkl": b"\x80\2).",
            "version": b"3\n",
        }
    )


def field(number: int, value: int | bytes) -> bytes:
    """Return one field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """Return a number of 7 bits a byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def onnx(noise: bytes, tensor: bytes | None = None) -> bytes:
    """Return a model.onnx with one initializer, float32, which holds `noise`."""
    if tensor is None:
        tensor = field(1, len(noise) // 4) + field(2, 1) + field(8, b"weight") + field(9, noise)
    shape = field(2, field(1, field(1, len(noise) // 4)))
    value = field(1, b"same") + field(2, field(1, field(1, 1) + shape))
    graph = field(1, field(1, b"weight") + field(2, b"same") + field(4, b"Identity"))
    graph += field(2, b"graph") + field(5, tensor) + field(12, value)
    return field(1, 10) + field(7, graph) + field(8, field(2, 20))


def golden(noise: bytes) -> bytes:
    """Return golden.safetensors with one vector, uint8."""
    head = {"noise.image": {"dtype": "U8", "shape": [len(noise)], "data_offsets": [0, len(noise)]}}
    said = json.dumps({"__metadata__": {"limits": "{}"}, **head}).encode()
    return len(said).to_bytes(8, "little") + said + noise

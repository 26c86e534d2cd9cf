"""No pulled file does more than it is for; what would is refused, and nothing of it is left."""

import io
import json
import shutil
import struct
from pathlib import Path

import onnx
import pytest
import torch

from torchcrate.errors import TrustError
from torchcrate.export import canonical
from torchcrate.export.artifact import Artifact
from torchcrate.release.crate import DRAFT, with_files
from torchcrate.release.manifest import Manifest
from torchcrate.release.pull import pull
from torchcrate.release.trust.suspect import examine

EVIL = b"\x80\2cposix\nsystem\nX\4\0\0\0true\x85R."


@pytest.fixture
def serve(crate, put, reseal, shelf, tmp_path):
    """Serve a crate whose file `name` holds `data`, with a manifest that says so; pull it."""

    def serve(name: str, data: bytes) -> Path:
        (crate / name).write_bytes(data)
        reseal(crate, "1.0.0")
        put(crate)
        (tmp_path / "around").mkdir()
        pull("mnist-net@1.0.0", shelf, tmp_path / "around" / "out")
        return tmp_path / "around" / "out"

    return serve


def test_the_exported_network_is_accepted(drafted):
    examine(drafted, Manifest.parse((drafted / DRAFT).read_bytes()))


def test_the_small_models_of_these_tests_are_sound(tmp_path, tiny):
    (tmp_path / "model.pth").write_bytes(tiny.state_dict(bytes(8)))

    assert torch.load(tmp_path / "model.pth", weights_only=True)["weight"].shape == (2,)


class Busy(torch.nn.Module):
    """Holds a bit of all that TorchScript stores: lists, text, numbers, parts, buffers."""

    def __init__(self):
        super().__init__()
        self.sizes, self.rates, self.flags = [1, 2], [0.5], [True]
        self.word, self.pair, self.table = "word", (1, 2.0), {"a": 1}
        self.parts = torch.nn.ModuleList([torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)])
        self.maybe: torch.Tensor | None = None
        self.tensors = [torch.zeros(1), torch.zeros(1, dtype=torch.int64)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for part in self.parts:
            x = part(x)
        return x * self.rates[0] + self.sizes[1] + self.pair[0] + self.table["a"] + self.tensors[0]


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize("frozen", [True, False])
def test_other_networks_as_torchscript_are_accepted(tmp_path, frozen):
    script = torch.jit.script(Busy().eval())
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.freeze(script) if frozen else script, buffer)
    with (tmp_path / "model.pt").open("wb") as file:
        canonical.archive(buffer, file, {"contract.json": b"{}"})

    examine(tmp_path, listing(Artifact("model.pt", "torchscript", "content", 0, "0" * 64)))


def test_a_sound_file_is_pulled(serve, tiny):
    assert (serve("model.pth", tiny.state_dict(bytes(4))) / "model.pth").exists()


HOSTILE = {
    "evil-pickle": ("model.pth", lambda t: t.state_dict(b"", EVIL), "names 'posix.system'"),
    "second-pickle": ("model.pth", lambda t: t.state_dict(b"", **{"x.pkl": EVIL}), "holds x.pkl"),
    "evil-extra": ("model.pth", lambda t: t.state_dict(b"", **{"data.pkl ": EVIL}), "entry is"),
    "as-script": ("model.pth", lambda t: t.state_dict(b"", **{"constants.pkl": EVIL}), "constants"),
    "bare-pickle": ("model.pth", lambda t: EVIL, "not an archive"),
    "no-pickle": ("model.pth", lambda t: t.archive({"data/0": b""}), r"holds no data\.pkl"),
    "bomb": ("model.pth", lambda t: t.archive({"data.pkl": bytes(9**6)}, 8), "compressed"),
    "huge-pickle": ("model.pth", lambda t: t.state_dict(b"", bytes(17 << 20)), "no model does"),
    "empty": ("model.pth", lambda t: b"", "not an archive"),
    "script-pickle": ("model.pt", lambda t: t.torchscript(b"", EVIL), "names 'posix.system'"),
    "script-constants": (
        "model.pt",
        lambda t: t.archive({"data.pkl": t.SCRIPTED, "constants.pkl": EVIL}),
        "names 'posix.system'",
    ),
    "script-foreign": ("model.pt", lambda t: t.archive({"code/x.so": b""}), r"code/x\.so"),
    "script-of-pth": ("model.pt", lambda t: t.state_dict(b""), r"holds no constants\.pkl"),
    "onnx-outside": (
        "model.onnx",
        lambda t: t.onnx(
            b"", t.field(13, t.field(1, b"location") + t.field(2, b"/etc/passwd")) + t.field(14, 1)
        ),
        "takes a tensor from '/etc/passwd'",
    ),
    "onnx-none": ("model.onnx", lambda t: b"ORTM", "no ONNX model"),
    "golden-none": ("golden.safetensors", lambda t: b"", "header"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_and_nothing_is_left(serve, tmp_path, tiny, case):
    name, make, words = HOSTILE[case]

    with pytest.raises(TrustError, match=words) as caught:
        serve(name, make(tiny))

    assert "\n" not in str(caught.value)
    assert list((tmp_path / "around").iterdir()) == []


def golden(head: object, body: bytes = b"", length: int | None = None) -> bytes:
    said = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(said) if length is None else length) + said + body


def tensor(start: object, end: object, shape: object = (2,), kind: object = "U8") -> dict:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "data",
    [
        b"1234567",
        golden({}, length=1 << 63),
        golden({}, length=3),
        golden(b"[" * 100_000),
        golden(b"[]"),
        golden(b"nothing"),
        golden(b"\xff\xff"),
        golden({"a": tensor(0, 2)}, b"1"),
        golden({"a": tensor(0, 2)}, b"123"),
        golden({"a": tensor(-2, 0)}, b"12"),
        golden({"a": tensor(1, 3)}, b"123"),
        golden({"a": tensor(0, 2), "b": tensor(0, 2)}, b"12"),
        golden({"a": tensor(0, 2), "b": tensor(3, 5)}, b"12345"),
        golden({"a": tensor(0, 2, (-1, -2))}, b"12"),
        golden({"a": tensor(0, 2, (1 << 60, 0))}, b"12"),
        golden({"a": tensor(0, 2, (True, 2))}, b"12"),
        golden({"a": tensor(0.0, 2)}, b"12"),
        golden({"a": tensor(0, "2")}, b"12"),
        golden({"a": tensor(0, 2, kind="U9")}, b"12"),
        golden({"a": tensor(0, 2, kind=[])}, b"12"),
        golden({"a": {}}),
        golden({"a": []}),
        golden({"__metadata__": {"limits": 3}}),
        golden({"__metadata__": 3}),
        golden(b'{"a": 1, "a": ' + json.dumps(tensor(0, 2)).encode() + b"}", b"12"),
    ],
    ids=lambda data: repr(data[8:40]),
)
def test_golden_vectors_that_lie_are_refused(tmp_path, data):
    (tmp_path / "golden.safetensors").write_bytes(data)

    with pytest.raises(TrustError, match=r"golden\.safetensors") as caught:
        examine(
            tmp_path, listing(Artifact("golden.safetensors", "golden", "evidence", 0, "0" * 64))
        )

    assert "\n" not in str(caught.value)


def listing(*files: Artifact) -> Manifest:
    return Manifest("net", "1.0.0", None, {}, {}, {}, "", "", files)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("model.pth", "source"),
        ("model.PTH", "licence"),
        ("model.pt", "state_dict"),
        ("model.onnx", "golden"),
        ("weights.safetensors", "source"),
        ("model.bin", "state_dict"),
        ("x.onnx.txt", "onnx"),
    ],
)
def test_a_role_that_leads_past_the_judge_is_refused(tmp_path, name, role):
    with pytest.raises(TrustError, match="which its name does not fit"):
        examine(tmp_path, listing(Artifact(name, role, "content", 0, "0" * 64)))


def test_files_that_were_not_pulled_are_passed_over(drafted, tmp_path):
    shutil.copy(drafted / "model.onnx", tmp_path)

    examine(tmp_path, Manifest.parse((drafted / DRAFT).read_bytes()))


def test_a_variant_is_judged_as_the_model_is(drafted, tmp_path):
    manifest = Manifest.parse((drafted / DRAFT).read_bytes())
    path = Path(shutil.copy(drafted / "model.onnx", tmp_path / "model.int8.onnx"))

    def judged(role: str) -> None:
        made = Artifact.of(path, role, ("onnx",))
        examine(tmp_path, with_files(manifest, [*manifest.files, made]))

    judged("variant")
    with pytest.raises(TrustError, match="has the role module"):
        judged("module")

    model = onnx.load(path)
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = weight.EXTERNAL
    weight.external_data.add(key="location", value="model.int8.onnx.data")
    path.write_bytes(model.SerializeToString())

    with pytest.raises(TrustError, match="takes a tensor from"):
        judged("variant")

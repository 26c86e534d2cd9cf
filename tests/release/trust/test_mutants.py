"""No crate that was damaged, by chance or on purpose, is taken for a sound one; none crashes.

A mutant is a published version after one to three random steps. Some are then resealed: sizes,
sums and digest made true again, as whoever may write to the registry can do. A pull ends in
one of three ways: refused in one line with nothing left; exactly what was published (the steps
did not touch it); or, if resealed and pulled without a key, exactly what is served, and by the
word of other readers than ours it can do no harm.
"""

import contextlib
import io
import pickle
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import onnx
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from torchcrate.errors import CrateError
from torchcrate.release.folder import FolderRegistry
from torchcrate.release.manifest import MANIFEST, SIGNATURE, Manifest
from torchcrate.release.pull import pull
from torchcrate.release.registry import Registry

HERE = Path(__file__).parent

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(HERE.parent)
    patch.syspath_prepend(HERE)
    import mutants

SOUND = {"torch._utils _rebuild_tensor_v2", "collections OrderedDict", "torch FloatStorage"}
SOUND |= {f"torch {kind}Storage" for kind in ("Double", "Half", "Long", "Int", "Byte", "Bool")}


def quietly(count: int) -> settings:
    return settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )


class Names(pickle.Unpickler):
    """Python's own unpickler, which only notes what a pickle names and calls nothing."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self.names: set[str] = set()

    def find_class(self, module: str, name: str) -> Any:
        self.names.add(f"{module} {name}")
        return lambda *_: {}

    def persistent_load(self, key: Any) -> Any:
        return key


def harmless(folder: Path) -> bool:
    """Return whether the pulled models are harmless by the word of Python's and onnx's readers."""
    path = folder / "model.pth"
    if path.exists():
        with zipfile.ZipFile(path) as archive:
            names = Names(archive.read("model/data.pkl"))
        with contextlib.suppress(Exception):  # what cannot be loaded does nothing
            names.load()
        if names.names - SOUND:
            return False
    path = folder / "model.onnx"
    model = onnx.ModelProto()
    with contextlib.suppress(DecodeError, FileNotFoundError):
        model.ParseFromString(path.read_bytes())
    here = {entry.name for entry in folder.iterdir()}
    return all(
        entry.value in here
        for tensor in _tensors(model)
        for entry in tensor.external_data
        if entry.key == "location"
    )


def _tensors(message: Any) -> list[onnx.TensorProto]:
    """Return every tensor within a message, by onnx's own description of it."""
    found = [message] if isinstance(message, onnx.TensorProto) else []
    for field, value in message.ListFields():
        if field.message_type:
            for inner in value if field.is_repeated else [value]:
                found += _tensors(inner)
    return found


@pytest.fixture
def original(make_crate, reseal, put, signer) -> mutants.Files:
    """A signed version with every kind of file."""
    crate = make_crate()
    (crate / "provenance.json").write_text("{}\n")
    reseal(crate, "1.0.0")
    return {path.name: path.read_bytes() for path in put(crate, signer=signer).iterdir()}


@pytest.fixture
def quick(tmp_path) -> Iterator[Path]:
    """A folder in memory where the system has one: thousands of files are made in it."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as folder:
        yield Path(folder)


@pytest.fixture
def verdict(original, quick) -> Callable[..., str]:
    """Pull a mutant; return why it was refused, or which kind of acceptance it was."""
    around = quick / "around"
    around.mkdir()

    def judge(registry: Registry, served: mutants.Files, key: Path | None, resealed: bool) -> str:
        try:
            manifest = pull("mnist-net@1.0.0", registry, around / "out", verify_key=key)
        except CrateError as error:
            line = str(error)
            assert "\n" not in line
            assert list(around.iterdir()) == []
            return line
        got = {path.name: path.read_bytes() for path in (around / "out").iterdir()}
        sound = harmless(around / "out")
        shutil.rmtree(around / "out")
        kept = {name: data for name, data in got.items() if name != SIGNATURE}
        if kept.items() <= original.items() and len(kept) == len(original) - 1:
            return "accepted: nothing that counts was touched"
        assert key is None, "what nobody signed was accepted"
        assert resealed, "what does not fit its sums was accepted"
        assert sound, "a hostile file was accepted"
        assert Manifest.parse(got[MANIFEST]) == manifest
        assert all(served[name] == data for name, data in got.items())
        return "accepted: resealed, no key asked for, and harmless"

    return judge


def mutate(original: mutants.Files, steps: list[mutants.Step], resealed: bool) -> mutants.Files:
    files = dict(original)
    for step in steps:
        step(files)
    if resealed:
        mutants.reseal(files)
    return files


def lay(files: mutants.Files, folder: Path) -> None:
    """Put the files where a folder registry serves them from; names that climb are not served."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, data in files.items():
        if re.fullmatch(r"[^/\0]{1,255}", name) and name not in (".", ".."):
            (folder / name).write_bytes(data)


def pulled_from_a_folder(count: int, original, verdict, keys, quick) -> "Counter[str]":
    reasons: Counter[str] = Counter()
    shelf = FolderRegistry(quick / "mutants")

    @quietly(count)
    @given(mutants.MUTATIONS, st.booleans(), st.integers(0, 7))
    def each(steps: list[mutants.Step], resealed: bool, keyed: int) -> None:
        files = mutate(original, steps, resealed)
        lay(files, quick / "mutants" / "mnist-net" / "1.0.0")
        key = keys / "ours.pub.pem" if keyed == 0 else None
        reasons[verdict(shelf, files, key, resealed)] += 1

    each()
    return reasons


def pulled_from_gitlab(count: int, original, verdict, keys, gitlab) -> "Counter[str]":
    reasons: Counter[str] = Counter()
    registry = gitlab.registry()

    @quietly(count)
    @given(mutants.MUTATIONS, st.booleans(), st.integers(0, 7))
    def each(steps: list[mutants.Step], resealed: bool, keyed: int) -> None:
        files = mutate(original, steps, resealed)
        gitlab.reset()
        with httpx.Client(headers={"PRIVATE-TOKEN": "glpat-developer"}) as client:
            for name, data in files.items():  # by hand: a name that GitLab refuses is not there
                client.put(gitlab.url("mnist-net", "1.0.0", quote(name, safe="")), content=data)
        key = keys / "ours.pub.pem" if keyed == 0 else None
        reasons[verdict(registry, files, key, resealed)] += 1

    each()
    return reasons


def test_a_thousand_mutants_are_refused_or_sound(original, verdict, keys, quick):
    reasons = pulled_from_a_folder(1000, original, verdict, keys, quick)

    assert reasons.total() == 1000
    assert len(plain(reasons)) > 30  # many kinds of damage, each with its own line


def test_mutants_from_a_server_are_refused_or_sound(original, verdict, keys, gitlab):
    reasons = pulled_from_gitlab(30, original, verdict, keys, gitlab)

    assert reasons.total() == 30


@pytest.mark.proof
def test_twenty_thousand_mutants_are_refused_or_sound(original, verdict, keys, quick, gitlab):
    reasons = pulled_from_a_folder(19_000, original, verdict, keys, quick)
    reasons += pulled_from_gitlab(1000, original, verdict, keys, gitlab)

    print("\nmutants of a signed crate, from a folder and from GitLab, and what pull said of them")
    for reason, count in plain(reasons).most_common():
        print(f"{count:6}  {reason}")
    assert reasons.total() == 20_000


FILE_NAME = r"\b(?:[\w-]+\.)+(?:py|txt|md|onnx|pth?|pkl|safetensors)\b|LICENSE"
FILE_NAME += r"|\b(?:parity|provenance)\.json\b"


def plain(reasons: "Counter[str]") -> "Counter[str]":
    """Return the reasons without what differs from mutant to mutant."""
    found: Counter[str] = Counter()
    for reason, count in reasons.items():
        line = re.sub(r"^mnist-net 1\.0\.0 in \S+ ", "", reason)
        line = re.sub(r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|`[^`]*`", "'...'", line)
        line = re.sub(r"\S*/\S*[^\s:]|(holds|lists) \S+(?=,)", r"\1 WHERE", line).strip()
        line = re.sub(r" - at '...'$|byte 0x.*", "", line)
        line = re.sub(FILE_NAME, "FILE", line)
        line = re.sub(r"\bsha256 \S+, not \S+(?=:)", "another sha256", line)
        line = re.sub(r"-?\b\d[\d.]*", "N", line)
        found[" ".join(line.split())] += count
    return found


def test_an_altered_crate_that_were_accepted_would_be_seen(original, verdict, shelf, tmp_path):
    """Shows that the tests above can fail: this one was resealed and is said not to be."""
    files = dict(original)
    files["LICENSE"] = b"other"
    mutants.reseal(files)
    lay(files, tmp_path / "shelf" / "mnist-net" / "1.0.0")

    assert verdict(shelf, files, None, True).startswith("accepted: resealed")
    with pytest.raises(AssertionError, match="does not fit its sums"):
        verdict(shelf, files, None, False)


def test_a_hostile_pickle_would_be_seen(tmp_path, tiny):
    evil = b"\x80\2cposix\nsystem\nX\4\0\0\0true\x85R."
    (tmp_path / "model.pth").write_bytes(tiny.state_dict(b"", evil))

    assert not harmless(tmp_path)


def test_a_graph_that_points_outside_would_be_seen(tmp_path, tiny):
    entry = tiny.field(1, b"location") + tiny.field(2, b"/etc/passwd")
    (tmp_path / "model.onnx").write_bytes(tiny.onnx(b"", tiny.field(13, entry)))

    assert not harmless(tmp_path)


@quietly(1000)
@given(mutants.PARTS)
def test_what_the_judge_of_pickles_accepts_names_nothing_else_when_it_runs(parts):
    """Instructions in any order: ours is never more trusting than Python's own unpickler."""
    from torchcrate.release.trust.pickles import STATE_DICT, judge

    data = b"\x80\4" + b"".join(parts) + b"."
    try:
        judge(data, STATE_DICT, "data.pkl")
    except CrateError:
        return
    names = Names(data)
    with contextlib.suppress(Exception):
        names.load()
    assert names.names <= SOUND

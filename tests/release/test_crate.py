"""A crate is assembled whole, sealed once, and opened only as it was sealed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from torchcrate.errors import ContractError, ParityError, TrustError
from torchcrate.export.artifact import sha256_of
from torchcrate.release.crate import DRAFT, assembling, open_sealed, seal, unseal
from torchcrate.release.manifest import Manifest
from torchcrate.verify.report import Report


@pytest.fixture
def copy(sealed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sealed, tmp_path / "crate"))


def test_the_manifest_states_everything_a_consumer_needs(sealed: Path) -> None:
    manifest = open_sealed(sealed)

    assert manifest.name == "mnist-net"
    assert manifest.metrics["accuracy"] >= 0.992
    assert set(manifest.tools) == {"torch", "onnx", "onnx_ir", "onnxscript", "opset", "ir"}
    assert set(manifest.minimum) == {"libtorch", "onnxruntime"}
    roles = {file.role: file.kind for file in manifest.files}
    evidence = {role for role, kind in roles.items() if kind == "evidence"}
    assert evidence == {"findings", "golden", "parity", "provenance"}
    assert {"state_dict", "torchscript", "onnx", "runner", "source", "requirements"} <= set(roles)


def test_a_crate_holds_what_its_specification_lists(sealed: Path) -> None:
    names = {path.name for path in sealed.iterdir()}

    assert {
        *("model.pth", "model.pt", "model.onnx", "golden.safetensors", "parity.json"),
        "provenance.json",
        *("run_mnist.py", "run_eager.py", "run_torchscript.py", "run_onnx.py", "images.py"),
        *("net.py", "preprocess.py", "CMakeLists.txt", "main.cpp", "LICENSE", "INSTRUCTION.md"),
        *("requirements-eager.txt", "requirements-onnx.txt", "requirements-torchscript.txt"),
        *("manifest.json", "SHA256SUMS"),
    } <= names
    assert not names & {"draft.json", "__init__.py", "run.py"}
    assert {path.name for path in sealed.iterdir() if path.is_dir()} <= {"__pycache__"}


def test_each_file_says_which_formats_need_it(drafted: Path) -> None:
    manifest = Manifest.parse((drafted / DRAFT).read_bytes())
    needs = {file.name: set(file.formats) for file in manifest.files}
    python = {"onnx", "torchscript", "eager"}

    assert set(manifest.formats) == {*python, "cpp"}
    assert needs["model.pt"] == {"torchscript", "cpp"}
    assert needs["net.py"] == needs["model.pth"] == needs["requirements-eager.txt"] == {"eager"}
    assert needs["command.py"] == needs["images.py"] == needs["run_mnist.py"] == python
    assert needs["images.cpp"] == needs["CMakeLists.txt"] == {"cpp"}
    assert needs["golden.safetensors"] == needs["LICENSE"] == needs["INSTRUCTION.md"] == set()
    for format in python:
        started = [f.name for f in manifest.only([format]) if f.role == "runner"]
        assert started == sorted([f"run_{format}.py", "run_mnist.py"])


def test_sealing_keeps_what_the_formats_need(copy: Path) -> None:
    formats = {file.name: file.formats for file in open_sealed(copy).files}
    report = Report.parse((copy / "parity.json").read_bytes())

    draft = unseal(copy)
    seal(copy, report)

    assert formats["model.onnx"] == ("onnx",)
    assert {file.name: file.formats for file in draft.files}.items() <= formats.items()


def test_unsealing_and_sealing_again_gives_the_same_manifest(copy: Path) -> None:
    manifest = open_sealed(copy)
    report = Report.parse((copy / "parity.json").read_bytes())

    draft = unseal(copy)
    again = seal(copy, report)

    assert draft.parity == ()
    assert again == manifest


@pytest.mark.parametrize("name", ["model.onnx", "run_onnx.py", "golden.safetensors", "parity.json"])
def test_one_changed_byte_is_refused_by_name(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)

    with pytest.raises(ContractError, match=name):
        open_sealed(copy)


@pytest.mark.parametrize("name", ["model.pt", "LICENSE"])
def test_a_missing_file_is_refused_by_name(copy: Path, name: str) -> None:
    (copy / name).unlink()

    with pytest.raises(ContractError, match=name):
        open_sealed(copy)


def test_sums_and_manifest_must_agree(copy: Path) -> None:
    (copy / "SHA256SUMS").write_text((copy / "SHA256SUMS").read_text().replace("a", "b", 1))

    with pytest.raises(ContractError, match="SHA256SUMS"):
        open_sealed(copy)


def test_a_report_that_is_not_green_seals_nothing(copy: Path) -> None:
    report = Report.parse((copy / "parity.json").read_bytes())
    unseal(copy)

    with pytest.raises(ParityError, match="onnx at noise"):
        seal(copy, replace(report, failures=("onnx at noise: difference 1, limit 0",)))

    assert not (copy / "manifest.json").exists()
    assert not (copy / "SHA256SUMS").exists()
    assert (copy / DRAFT).exists()


def test_a_manifest_whose_parity_was_polished_is_refused(copy: Path) -> None:
    manifest = open_sealed(copy)
    better = tuple(replace(entry, maximum=0.0) for entry in manifest.parity)
    polished = replace(manifest, parity=better)
    (copy / "manifest.json").write_bytes(polished.dump())
    (copy / "SHA256SUMS").write_bytes(polished.sums())

    with pytest.raises(ParityError, match="not green"):
        open_sealed(copy)


def test_a_file_changed_while_it_was_judged_is_not_sealed(copy: Path) -> None:
    report = Report.parse((copy / "parity.json").read_bytes())
    unseal(copy)
    (copy / "model.onnx").write_bytes(b"another")

    with pytest.raises(ContractError, match="changed while it was judged"):
        seal(copy, report)


def test_a_crate_that_every_pull_would_refuse_is_not_sealed(copy: Path) -> None:
    report = Report.parse((copy / "parity.json").read_bytes())
    unseal(copy)
    (copy / "model.pth").write_bytes(b"\x80\2cposix\nsystem\n.")
    judged = {**report.judged, "model.pth": sha256_of(copy / "model.pth")}

    with pytest.raises(TrustError, match=r"model\.pth"):
        seal(copy, replace(report, judged=judged))

    assert not (copy / "manifest.json").exists()


def test_an_export_that_fails_leaves_the_earlier_crate_as_it_was(copy: Path) -> None:
    before = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}

    def fail() -> None:
        with assembling(copy) as folder:
            (folder / "model.pt").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    after = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    assert after == before
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]


def test_the_draft_is_a_manifest_without_parity(drafted: Path) -> None:
    draft = Manifest.parse((drafted / DRAFT).read_bytes())

    assert draft.parity == ()
    assert json.loads((drafted / DRAFT).read_bytes())["schema"] == draft.schema

"""Doctor tells from versions alone what can run a crate, and what to install for the rest."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from torchcrate.errors import ContractError
from torchcrate.release.crate import DRAFT
from torchcrate.release.doctor import diagnose
from torchcrate.release.manifest import MANIFEST, Manifest

DOCTOR = Path(sys.executable).with_name("torchcrate")


@pytest.fixture
def crate(drafted: Path, tmp_path: Path) -> Path:
    """A crate as a full pull leaves it."""
    shutil.copytree(drafted, tmp_path / "crate")
    (tmp_path / "crate" / DRAFT).rename(tmp_path / "crate" / MANIFEST)
    return tmp_path / "crate"


@pytest.fixture
def doctor(crate: Path, tmp_path: Path):
    """Ask the command, with other versions of packages installed and other tools to be found."""

    def ask(path: str = os.environ["PATH"], **versions: str):
        for name, version in versions.items():
            info = tmp_path / "site" / f"{name}-{version}.dist-info"
            info.mkdir(parents=True)
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
            )
        env = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "PATH": path}
        done = subprocess.run(
            [DOCTOR, "doctor", crate, "--json"], env=env, capture_output=True, text=True
        )
        return done, {each["format"]: each for each in json.loads(done.stdout)}

    return ask


def test_all_formats_are_ready_where_crates_are_made(doctor) -> None:
    done, found = doctor()

    assert done.returncode == 0
    assert {format for format, each in found.items() if each["ready"]} == {
        *("onnx", "torchscript", "eager", "cpp")
    }
    assert found["onnx"]["found"]["onnxruntime"]
    assert [each["remedy"] for each in found.values()] == [""] * 4


def test_nothing_that_is_judged_is_loaded(crate: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from torchcrate.release.doctor import diagnose;"
        f"diagnose(Path({str(crate)!r}));"
        "print({'torch', 'onnxruntime', 'numpy', 'PIL', 'safetensors', 'onnx'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("version", "line"),
    [
        ("1.16.3", "reads up to opset 19 and IR 9, the model has opset 20 and IR 10"),
        ("1.17.3", "reads up to opset 20 and IR 9, the model has opset 20 and IR 10"),
        ("1.13.1", "onnxruntime 1.13.1 is installed, the model needs 1.18.0 or newer"),
    ],
)
def test_an_onnx_runtime_that_is_too_old_for_the_model_is_told(doctor, version, line) -> None:
    done, found = doctor(onnxruntime=version)

    assert any(line in each for each in found["onnx"]["missing"])
    assert found["onnx"]["remedy"].startswith("pip install -r ")
    assert found["onnx"]["remedy"].endswith("/requirements-onnx.txt")
    assert not found["onnx"]["ready"]
    assert found["torchscript"]["ready"]
    assert done.returncode == 0


@pytest.mark.parametrize("version", ["1.18.0", "1.18.1", "1.20.0", "1.32.0", "2.0"])
def test_an_onnx_runtime_that_is_new_enough_is_ready(doctor, version) -> None:
    _, found = doctor(onnxruntime=version)

    assert found["onnx"]["ready"], found["onnx"]


def test_a_torch_that_is_too_old_is_told_for_each_format_that_needs_it(doctor) -> None:
    _, found = doctor(torch="2.4.1+cpu")

    ready = {format: each["ready"] for format, each in found.items()}
    assert ready == {"onnx": True, "torchscript": False, "eager": False, "cpp": False}
    line = "torch 2.4.1+cpu is installed, the model needs 2.13.0 or newer"
    assert line in found["torchscript"]["missing"]
    assert "its LibTorch must be 2.13.0 or newer" in found["cpp"]["missing"][0]


def test_a_package_that_is_too_old_is_told(doctor) -> None:
    _, found = doctor(numpy="1.24.4", pillow="9.5")

    assert found["onnx"]["missing"] == [
        "numpy 1.24.4 is installed, 1.26 or newer is needed",
        "pillow 9.5 is installed, 11.0 or newer is needed",
    ]


def test_missing_tools_for_cpp_are_told_with_what_to_install(doctor) -> None:
    _, found = doctor(path="/nowhere")

    assert found["cpp"]["missing"] == [
        "cmake 3.22 or newer is not installed",
        "no C++ compiler is installed",
    ]
    assert found["cpp"]["remedy"] == "apt-get install cmake g++"


def test_headers_that_the_compiler_does_not_find_are_told(doctor, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    blind = tmp_path / "bin" / "c++"
    blind.write_text("#!/bin/sh\nexit 1\n")
    blind.chmod(0o755)

    _, found = doctor(path=f"{blind.parent}:{os.environ['PATH']}")

    missing = {line.split()[0] for line in found["cpp"]["missing"]}
    assert missing == {"zlib.h", "CLI/CLI.hpp", "nlohmann/json.hpp"}
    for package in ("zlib1g-dev", "libcli11-dev", "nlohmann-json3-dev"):
        assert package in found["cpp"]["remedy"]


def test_where_nothing_can_run_it_ends_with_6_and_one_line(doctor, crate: Path) -> None:
    done, found = doctor(path="/nowhere", torch="1.0", onnxruntime="1.0")

    assert done.returncode == 6
    assert done.stderr.startswith(f"Error: nothing here can run {crate}")
    assert not any(each["ready"] for each in found.values())


def test_a_format_that_was_not_pulled_says_how_to_get_it(doctor, crate: Path) -> None:
    (crate / "model.pth").unlink()

    _, found = doctor()

    version = Manifest.parse((crate / MANIFEST).read_bytes()).version
    assert found["eager"]["missing"] == [f"model.pth is not in {crate}"]
    assert found["eager"]["remedy"] == f"torchcrate pull mnist-net@{version} --only eager"
    assert found["onnx"]["ready"]


def test_a_file_that_changed_is_told(doctor, crate: Path) -> None:
    (crate / "run_onnx.py").write_text("print('mine')")

    _, found = doctor()

    assert found["onnx"]["missing"] == ["run_onnx.py is not as published"]
    assert found["eager"]["ready"]


def test_a_folder_that_is_no_crate_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="is no crate"):
        diagnose(tmp_path)


def test_a_crate_that_does_not_tell_its_formats_is_one_line(crate: Path) -> None:
    value = json.loads((crate / MANIFEST).read_bytes())
    for file in value["files"]:
        del file["formats"]
    (crate / MANIFEST).write_text(json.dumps(value))

    with pytest.raises(ContractError, match="which file is for which runtime"):
        diagnose(crate)


def test_tools_that_are_no_numbers_are_no_crash(crate: Path) -> None:
    value = json.loads((crate / MANIFEST).read_bytes())
    value["tools"] |= {"opset": "²", "ir": "-1"}
    value["minimum"] = {}
    (crate / MANIFEST).write_text(json.dumps(value))

    assert all(finding.ready for finding in diagnose(crate))

"""Which runtimes of this machine can run a crate, judged by versions before anything is loaded."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from torchcrate.errors import ContractError
from torchcrate.export.artifact import sha256_of
from torchcrate.export.onnx_support import largest
from torchcrate.files import reading
from torchcrate.release.crate import read_manifest
from torchcrate.release.manifest import MANIFEST, Manifest

# The other names under which a runtime is installed.
_ALSO = {"onnxruntime": ("onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")}
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:[>=]=\s*([0-9.]+))?")
_PACKAGE = re.compile(r"^find_package\((\w+)", re.M)
_CMAKE = re.compile(r"^cmake_minimum_required\(VERSION ([0-9.]+)", re.M)

# What `find_package` names, by a header of it and the package of Debian and Ubuntu.
_HEADERS = {
    "PNG": ("png.h", "libpng-dev"),  # asked for by crates of the first versions
    "ZLIB": ("zlib.h", "zlib1g-dev"),
    "CLI11": ("CLI/CLI.hpp", "libcli11-dev"),
    "nlohmann_json": ("nlohmann/json.hpp", "nlohmann-json3-dev"),
}


@dataclass(frozen=True)
class Finding:
    """What was found about one format of a crate.

    Attributes:
        format: "onnx", "torchscript", "eager" or "cpp".
        ready: Whether this machine can run it.
        found: The versions that were found, by name.
        missing: One line for each thing that is in the way.
        remedy: What to do about it; empty if ready.
    """

    format: str
    ready: bool
    found: dict[str, str]
    missing: tuple[str, ...]
    remedy: str


def diagnose(crate: Path) -> tuple[Finding, ...]:
    """Return one finding for each format of the pulled crate at `crate`; loads no runtime.

    Raises:
        ContractError: If `crate` is no crate, or does not say what its files are for.
        FolderError: If it cannot be read.
    """
    with reading(crate):
        path = crate / MANIFEST
        if not path.is_file():
            raise ContractError(f"{crate} is no crate: 'torchcrate pull NAME@VERSION' makes one")
        manifest = read_manifest(path)
        if not manifest.formats:
            raise ContractError(
                f"{path} does not say which file is for which runtime: pull it again"
            )
        return tuple(_judged(crate, manifest, format) for format in manifest.formats)


def _judged(crate: Path, manifest: Manifest, format: str) -> Finding:
    files = [file for file in manifest.only([format]) if format in file.formats]
    absent = [file.name for file in files if not (crate / file.name).is_file()]
    if absent:
        again = f"torchcrate pull {manifest.name}@{manifest.version} --only {format}"
        return Finding(format, False, {}, (f"{absent[0]} is not in {crate}",), again)
    changed = [file.name for file in files if sha256_of(crate / file.name) != file.sha256]
    if changed:
        again = f"torchcrate pull {manifest.name}@{manifest.version}"
        return Finding(format, False, {}, (f"{changed[0]} is not as published",), again)
    lists = [crate / file.name for file in files if file.role == "requirements"]
    found: dict[str, str] = {}
    if format == "cpp":
        missing, remedy = _cpp(crate, manifest, found)
    else:
        missing = [line for path in lists for line in _python(path, found)]
        missing += _onnx(manifest, found) if format == "onnx" else _torch(manifest, found)
        remedy = f"pip install -r {lists[0]}" if lists else f"see {crate / 'INSTRUCTION.md'}"
    return Finding(format, not missing, found, tuple(missing), remedy if missing else "")


# Python packages


def _python(requirements: Path, found: dict[str, str]) -> Iterator[str]:
    """Give a line for each package of a requirements file that is missing or too old."""
    with reading(requirements):
        lines = requirements.read_text("utf-8", "replace").splitlines()
    for line in lines:
        match = _REQUIREMENT.match(line)
        if not match:
            continue
        name, oldest = match[1], match[2]
        version = _installed(name)
        if version is None:
            yield f"{name} is not installed"
            continue
        found[name] = version
        if oldest and _release(version) < _release(oldest):
            yield f"{name} {version} is installed, {oldest} or newer is needed"


def _installed(name: str) -> str | None:
    """Return the version of an installed package, by its metadata alone."""
    for each in (name, *_ALSO.get(name, ())):
        try:
            return metadata.version(each)
        except metadata.PackageNotFoundError:
            continue
    return None


def _onnx(manifest: Manifest, found: dict[str, str]) -> Iterator[str]:
    """Give a line if the installed ONNX Runtime does not read the model."""
    version = found.get("onnxruntime")
    if version is None:
        return
    opset, ir = (_number(manifest.tools.get(tool, "")) for tool in ("opset", "ir"))
    reads = largest(_release(version))
    oldest = manifest.minimum.get("onnxruntime", "")
    if reads and (opset > reads[0] or ir > reads[1]):
        yield (
            f"onnxruntime {version} reads up to opset {reads[0]} and IR {reads[1]}, "
            f"the model has opset {opset} and IR {ir}"
        )
    elif oldest and _release(version) < _release(oldest):
        yield f"onnxruntime {version} is installed, the model needs {oldest} or newer"


def _torch(manifest: Manifest, found: dict[str, str]) -> Iterator[str]:
    """Give a line if the installed torch is older than the LibTorch that the model needs."""
    version, oldest = found.get("torch"), manifest.minimum.get("libtorch")
    if version and oldest and _release(version) < _release(oldest):
        yield f"torch {version} is installed, the model needs {oldest} or newer"


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else 0


def _release(version: str) -> tuple[int, ...]:
    """Return the numbers that a version begins with, less zeros at the end: 2.13.0+cpu is 2.13."""
    match = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in match[0].split(".")] if match else []
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


# C++


def _cpp(crate: Path, manifest: Manifest, found: dict[str, str]) -> tuple[list[str], str]:
    """Return what is in the way of building and running the C++ program, and what to install."""
    recipe = crate / "CMakeLists.txt"
    with reading(recipe):
        text = recipe.read_text("utf-8", "replace")
    missing, wanted = [], []
    oldest = match[1] if (match := _CMAKE.search(text)) else "0"
    cmake = _cmake_version()
    if cmake is None or _release(cmake) < _release(oldest):
        missing.append(f"cmake {oldest} or newer is not installed")
        wanted.append("cmake")
    else:
        found["cmake"] = cmake
    compiler = next(filter(None, map(shutil.which, ("c++", "g++", "clang++"))), None)
    if compiler is None:
        missing.append("no C++ compiler is installed")
        wanted.append("g++")
    else:
        found["compiler"] = compiler
    for name in _PACKAGE.findall(text):
        if name in _HEADERS and compiler and not _has(compiler, _HEADERS[name][0]):
            missing.append(f"{_HEADERS[name][0]} is not found")
            wanted.append(_HEADERS[name][1])
    remedies = [f"apt-get install {' '.join(wanted)}"] if wanted else []
    libtorch = _libtorch(manifest, found)
    if libtorch:
        missing.append(libtorch)
        remedies.append(
            f"pip install 'torch>={manifest.minimum.get('libtorch', '2')}', or give cmake a "
            "LibTorch of your own by CMAKE_PREFIX_PATH"
        )
    return missing, "; ".join(remedies)


def _libtorch(manifest: Manifest, found: dict[str, str]) -> str | None:
    """Return what is wrong with the LibTorch inside the pip wheel; the one that we can find."""
    version, oldest = _installed("torch"), manifest.minimum.get("libtorch", "0")
    if version is None:
        return f"LibTorch {oldest} or newer is not found in this Python"
    found["torch"] = version
    if _release(version) < _release(oldest):
        return f"torch {version} is installed, its LibTorch must be {oldest} or newer"
    config = Path("torch", "share", "cmake", "Torch", "TorchConfig.cmake")
    if not Path(str(metadata.distribution("torch").locate_file(config))).is_file():
        return f"torch {version} comes without LibTorch's CMake files"
    return None


def _cmake_version() -> str | None:
    said = _said("cmake", "--version")
    match = re.search(r"\d+(\.\d+)+", said) if said else None
    return match[0] if match else None


def _has(compiler: str, header: str) -> bool:
    """Return whether the compiler finds a header; nothing is compiled."""
    program = f"#if !__has_include(<{header}>)\n#error\n#endif\n"
    return _said(compiler, "-std=c++17", "-x", "c++", "-E", "-", program=program) is not None


def _said(*command: str, program: str = "") -> str | None:
    """Return what a tool prints; None if it fails or is not there."""
    try:
        done = subprocess.run(
            command, input=program, capture_output=True, text=True, check=False, timeout=30
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None

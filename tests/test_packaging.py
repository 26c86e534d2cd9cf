"""Wheel and sdist hold the whole house and install exactly one top-level name."""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from torchcrate.release.manifest import Manifest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = (
    *("model", "export", "verify", "bench", "variants", "release", "start"),
    *("runners", "cpp_demo"),
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and an sdist, from a clean copy of what git tracks."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    files = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.split(b"\0")
    for name in filter(None, map(bytes.decode, files)):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, source],
        check=True,
        capture_output=True,
    )
    return out


def test_every_folder_of_modules_is_in_the_list_of_packages() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])

    src = {path.parent.relative_to(ROOT / "src") for path in ROOT.glob("src/**/__init__.py")}
    rooms = {
        Path("torchcrate", path.parent.relative_to(ROOT))
        for room in ROOMS
        for path in ROOT.glob(f"{room}/**/__init__.py")
    }
    assert listed == {".".join(folder.parts) for folder in src | rooms}


def test_the_wheel_installs_exactly_one_top_level_name(built: Path) -> None:
    (wheel,) = built.glob("*.whl")

    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"torchcrate"}


def test_wheel_and_sdist_hold_every_tracked_file_of_the_house(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    tracked = subprocess.run(
        ["git", "ls-files", *ROOMS], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()

    missing = [name for name in tracked if f"torchcrate/{name}" not in in_wheel]
    missing += [name for name in tracked if name not in in_sdist]

    assert missing == []
    assert {"VERSION", "LICENSE"} <= in_sdist


@pytest.fixture(scope="module")
def light(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that holds the wheel and what it asks for, nothing else."""
    home = tmp_path_factory.mktemp("light")
    (wheel,) = built.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True)
    python = home / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--quiet"]
    subprocess.run([*pip, "--no-index", wheel], check=True)
    site = next(home.glob("lib/python*/site-packages"))
    for name in needed("torchcrate") - {"torchcrate"}:  # from here: no index is asked
        for file in metadata.files(name) or ():
            if not file.as_posix().startswith("..") and "__pycache__" not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file.locate(), site / file)
    subprocess.run([python, "-m", "compileall", "-q", site], check=True)  # as pip does
    return home / "bin"


def needed(name: str) -> set[str]:
    """Return the packages that installing `name` brings, without extras."""
    found = {name}
    for line in metadata.requires(name) or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            found |= needed(requirement.name)
    return found


def run(*command: Path | str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **env}
    )


def test_the_light_installation_works_and_is_as_small_as_the_readme_says(light: Path) -> None:
    shown = run(light / "torchcrate", "--help")
    heavy = run(light / "python", "-c", "import numpy")
    size = sum(
        path.stat().st_size
        for path in light.parent.glob("lib/**/*")
        if path.is_file() and path.suffix != ".pyc"
    )

    assert shown.returncode == 0, shown.stderr
    assert "No module named 'numpy'" in heavy.stderr
    said = re.search(
        r"`pip install torchcrate` brings ([0-9.]+) MB", (ROOT / "README.md").read_text()
    )
    assert said
    assert size / 1e6 == pytest.approx(float(said[1]), rel=0.1)


@pytest.mark.parametrize("command", ["export", "verify", "train", "demo"])
def test_without_the_extra_making_a_crate_is_one_line(light: Path, command: str) -> None:
    done = run(light / "torchcrate", command)

    assert done.returncode == 6
    assert re.fullmatch(
        r"Error: a package is missing, \w+: pip install 'torchcrate\[\w+\]'\n", done.stderr
    )


def test_without_a_runtime_a_pull_works_and_says_what_to_install(
    light: Path, drafted: Path, tmp_path: Path
) -> None:
    version = (ROOT / "VERSION").read_text().strip()
    stored = tmp_path / "shelf" / "mnist-net" / version
    shutil.copytree(drafted, stored)
    manifest = Manifest.parse((stored / "draft.json").read_bytes())
    (stored / "draft.json").rename(stored / "manifest.json")
    (stored / "SHA256SUMS").write_bytes(manifest.sums())
    out = tmp_path / "out"
    pull = ("pull", "mnist-net@latest", "--from", str(tmp_path / "shelf"), "--out", str(out))

    pulled = run(light / "torchcrate", *pull, "--selftest")
    doctor = run(light / "torchcrate", "doctor", str(out), PATH="/nowhere")

    assert pulled.returncode == 6
    assert re.fullmatch(
        rf"Error: run_mnist.py in {out}: (numpy|onnxruntime) is not installed: "
        "pip install -r requirements-onnx.txt",
        pulled.stderr.splitlines()[-1],
    )
    assert (out / "model.onnx").is_file()
    assert doctor.returncode == 6
    assert "onnxruntime is not installed" in doctor.stdout
    assert f"pip install -r {out}/requirements-onnx.txt" in doctor.stdout
    assert "LibTorch 2.13.0 or newer is not found" in doctor.stdout


@pytest.mark.parametrize("command", ["", "pull", "versions", "doctor"])
def test_help_loads_the_command_line_alone(light: Path, command: str) -> None:
    code = (
        "import sys; from torchcrate.cli import main\n"
        f"try: main([{command!r}, '--help'] if {command!r} else ['--help'])\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )

    loaded = {name.split(".")[0] for name in run(light / "python", "-c", code).stderr.split()}

    ours = loaded - set(sys.stdlib_module_names)
    assert {name for name in ours if not name.startswith("_")} == {"click", "torchcrate"}
    assert not loaded & {"asyncio", "subprocess", "ssl", "http", "ctypes", "dataclasses"}


def test_asking_a_registry_loads_no_more_than_it_needs(light: Path) -> None:
    code = (
        "import sys, torchcrate.cli, torchcrate.release.pull, torchcrate.release.gitlab;"
        "print(*sys.modules)"
    )

    loaded = {name.split(".")[0] for name in run(light / "python", "-c", code).stdout.split()}

    assert not loaded & {"tenacity", "subprocess", "ctypes", "numpy", "torch"}


@pytest.mark.proof
def test_commands_start_as_quickly_as_their_libraries(light: Path) -> None:
    """Whole processes by the wall clock, in turns, as ratios to click and httpx alone."""
    python, program = light / "python", light / "torchcrate"
    modules = "torchcrate.cli, torchcrate.release.pull, torchcrate.release.gitlab"
    commands: dict[str, tuple[Path | str, ...]] = {
        "import click, httpx": (python, "-c", "import click, httpx"),
        "torchcrate --help": (program, "--help"),
        "torchcrate pull --help": (program, "pull", "--help"),
        "torchcrate versions --help": (program, "versions", "--help"),
        "all that pull needs to ask": (python, "-c", f"import {modules}"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(31):
        for name, command in commands.items():
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds[name].append(time.perf_counter() - begun)

    base = statistics.median(seconds["import click, httpx"])
    print("\nmedian of 31 in turns        ratio  10 % to 90 %  milliseconds")
    for name, each in seconds.items():
        low, *_, high = statistics.quantiles(each, n=10)
        median = statistics.median(each)
        spread = f"{low / base:.2f} to {high / base:.2f}"
        print(f"{name:27}  {median / base:5.2f}  {spread:12}  {1000 * median:.0f}")
        assert median / base <= 1.5


def test_the_version_is_digits_only_and_stated_once() -> None:
    version = (ROOT / "VERSION").read_text().strip()

    assert all(part.isdigit() for part in version.split("."))
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"file": "VERSION"}


def test_each_dependency_has_its_reason_beside_it() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    quoted = [line for line in lines if re.match(r' +"[^"]*[=>]=', line)]

    assert len(quoted) > 10
    assert [
        line
        for line in quoted
        if "#" not in line and "mypy" not in line and "pytest" not in line and "ruff" not in line
    ] == []

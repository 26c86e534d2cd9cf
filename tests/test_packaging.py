"""Wheel and sdist hold the whole house and install exactly one top-level name."""

import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = ("model", "export", "verify", "release", "runners", "cpp_demo")


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


def test_the_version_is_digits_only_and_stated_once() -> None:
    version = (ROOT / "VERSION").read_text().strip()

    assert all(part.isdigit() for part in version.split("."))
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"file": "VERSION"}


def test_each_dependency_has_its_reason_beside_it() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    quoted = [line for line in lines if line.startswith('    "') and '"torchcrate' not in line]

    assert len(quoted) > 10
    assert [
        line
        for line in quoted
        if "#" not in line and "mypy" not in line and "pytest" not in line and "ruff" not in line
    ] == []

"""C++ programs that do not ship, brought up to date by CMake."""

import subprocess
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def png_grey() -> Path:
    """Its decoder alone; what it is given is damaged more often than not."""
    return built("png_grey", "sanitize")


@pytest.fixture(scope="session")
def sanitized() -> tuple[Path, Path]:
    """The program that ships and the tests of its units, built with the thread sanitizer."""
    return built("run_libtorch", "threads"), built("run_libtorch_tests", "threads")


def built(target: str, preset: str) -> Path:
    """Return a program, brought up to date by CMake in the folder of a preset."""
    build = ROOT / "build" / preset
    if not (build / "CMakeCache.txt").is_file():
        prefix = f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"
        subprocess.run(["cmake", "--preset", preset, prefix], cwd=ROOT, check=True)
    subprocess.run(["cmake", "--build", build, "--target", target], cwd=ROOT, check=True)
    return build / target

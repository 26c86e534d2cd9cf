"""The C++ program, built once for the tests that ask small models."""

import subprocess
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def program() -> Path:
    """The program, brought up to date by CMake in the release preset's folder."""
    build = ROOT / "build" / "release"
    if not (build / "CMakeCache.txt").is_file():
        prefix = f"-DCMAKE_PREFIX_PATH={torch.utils.cmake_prefix_path}"
        subprocess.run(["cmake", "--preset", "release", prefix], cwd=ROOT, check=True)
    subprocess.run(["cmake", "--build", build, "--target", "run_libtorch"], cwd=ROOT, check=True)
    return build / "run_libtorch"

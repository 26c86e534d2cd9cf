"""The programs that ship, small crates for them, and C++ programs that do not ship."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from handmade import TAGGER, eager, script
from programs import RUNNERS, Ask, Done, Runner

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module", params=RUNNERS)
def each(request: pytest.FixtureRequest, sealed: Path, libtorch: Path) -> Runner:
    """Every program: for what depends on its runtime."""
    return Runner(request.param, sealed, libtorch)


@pytest.fixture(scope="module", params=["run_onnx.py", "run_libtorch"])
def run(request: pytest.FixtureRequest, sealed: Path, libtorch: Path) -> Runner:
    """One Python runner and the C++ one: for the command line, which the Python ones share."""
    return Runner(request.param, sealed, libtorch)


@pytest.fixture(scope="session")
def ask(libtorch: Path) -> Ask:
    """Ask a program, by its name, with any crate."""

    def start(name: str, crate: Path, *options: object, **given: Any) -> Done:
        return Runner(name, crate, libtorch)(*options, **given)

    return start


@pytest.fixture(scope="session")
def tagger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An optional input, three outputs, one of them a scalar, and empty batches."""
    source = """
def forward(self, tokens, mask: Optional[Tensor]) -> Tuple[Tensor, Tensor, Tensor]:
    kept = torch.ones_like(tokens, dtype=torch.bool)
    if mask is not None:
        kept = mask
    scores = (tokens * kept).unsqueeze(-1) * torch.tensor([1.0, 2.0])
    return scores, kept, tokens.sum()
"""
    crate = tmp_path_factory.mktemp("tagger")
    eager(crate, TAGGER, "Tagger", {"scale": torch.tensor([1.0, 2.0])}, words=2)
    return script(crate, TAGGER, source)


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

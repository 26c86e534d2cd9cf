"""A crate pulled for ONNX Runtime alone, whose programs start in a fraction of a second."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from torchcrate.bench.race import Rules
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Subject
from torchcrate.release.crate import DRAFT, read_manifest


@pytest.fixture
def pulled(drafted: Path, tmp_path: Path) -> Callable[..., Path]:
    """Make a copy of the crate of all tests, in part, whose answers come `late` by so many s.

    Or `twice`: each is worked out two times. With `cpp` it has what the C++ program needs, too.
    """

    def made(called: str, late: float = 0.0, *, twice: bool = False, cpp: bool = False) -> Path:
        folder = tmp_path / called
        folder.mkdir()
        shutil.copy2(drafted / DRAFT, folder)
        manifest = read_manifest(drafted / DRAFT)
        names = {file.name for file in manifest.only(["onnx"])}
        if cpp:
            names |= {"model.pt", *(file.name for file in manifest.files if file.role == "source")}
        for name in names:
            shutil.copy2(drafted / name, folder)
        if late:
            _first(folder / "run_onnx.py", f"time.sleep({late})")
        if twice:
            _first(folder / "run_onnx.py", "_answer(self, *given, **named)")
        return folder

    return made


def _first(runner: Path, does: str) -> None:
    """Let a runner do something before each answer, and nothing else differently."""
    text = runner.read_text()
    at = text.index('if __name__ == "__main__"')
    wait = (
        "import time, runtime\n"
        "_answer = runtime.Model.answer\n"
        "def _late(self, *given, **named):\n"
        f"    {does}\n"
        "    return _answer(self, *given, **named)\n"
        "runtime.Model.answer = _late\n"
    )
    runner.write_text(text[:at] + wait + text[at:])


@pytest.fixture
def subject() -> Callable[[Path, str], Subject]:
    """Make the value that stands for a crate in a folder."""

    def made(folder: Path, title: str) -> Subject:
        manifest = read_manifest(folder / DRAFT)
        return Subject(folder, title, manifest.content, manifest.contract, manifest.files)

    return made


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    """A benchmark that takes a second."""
    said: list[str] = []
    rules = Rules(rounds=1, warmup=0)
    return Setting(
        tmp_path / "out", tmp_path / "cpp", None, 12, 40, rules, calls=25, say=said.append
    )

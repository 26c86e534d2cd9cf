"""The gate builds the C++ programs of both crates, and stops one that is slower or has none."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from torchcrate.bench import cpp
from torchcrate.bench.budget import Budget, gate, require
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Subject
from torchcrate.verify.build import PROGRAM

pytestmark = pytest.mark.seconds(30)

Make = Callable[..., Path]
Value = Callable[[Path, str], Subject]


def test_the_cpp_programs_are_raced_as_they_are_built(
    pulled: Make, subject: Value, setting: Setting, libtorch: Path, tmp_path: Path
) -> None:
    """Both have the same sources: verify has built them."""
    new, old = (subject(pulled(name, cpp=True), name) for name in ("new", "old"))

    part = gate(new, old, Budget(slower=20), replace(setting, build=libtorch.parent), tmp_path)

    require(part)
    (bar,) = [bar for bar in part.bars if bar.what == "libtorch, whole process: this / old"]
    assert bar.found


def test_a_slower_cpp_program_is_stopped(
    pulled: Make,
    subject: Value,
    setting: Setting,
    libtorch: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new, old = (subject(pulled(name, cpp=True), name) for name in ("new", "old"))
    (new.folder / "main.cpp").write_text("another program")
    late = tmp_path / "late"
    late.write_text(f'#!/bin/sh\nsleep 1\nexec "{libtorch}" "$@"\n')
    late.chmod(0o755)
    built = {(new.folder, setting.build.name): late, (old.folder, "cpp-before"): libtorch}
    monkeypatch.setattr(cpp, "program", lambda each, build: built[each.folder, build.name])

    part = gate(new, old, Budget(slower=1.5), setting, tmp_path)

    (bar,) = [bar for bar in part.bars if bar.what == "libtorch, whole process: this / old"]
    assert bar.found
    assert not bar.holds


def test_without_cmake_python_alone_is_raced_and_that_is_said(
    pulled: Make,
    subject: Value,
    setting: Setting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new, old = (subject(pulled(name, cpp=True), name) for name in ("new", "old"))
    monkeypatch.setattr(shutil, "which", lambda name: None)

    part = gate(new, old, Budget(slower=20), setting, tmp_path)

    require(part)
    assert part.words == ("cmake is not installed here: the C++ programs were not raced.",)


@pytest.mark.parametrize("broken", ["new", "old"])
def test_cpp_that_cannot_be_built_stops_the_release_that_ships_it(
    broken: str,
    pulled: Make,
    subject: Value,
    setting: Setting,
    libtorch: Path,
    tmp_path: Path,
) -> None:
    new, old = (subject(pulled(name, cpp=True), name) for name in ("new", "old"))
    lists = tmp_path / broken / "CMakeLists.txt"
    lists.write_text('message(FATAL_ERROR "error: no such luck")\n')
    for name in ("cpp", "cpp-before"):
        (tmp_path / name).mkdir()
        for file in (PROGRAM, "built-from"):
            shutil.copy2(libtorch.with_name(file), tmp_path / name)

    part = gate(new, old, Budget(slower=20), setting, tmp_path)

    (bar,) = [bar for bar in part.bars if bar.what == "libtorch, whole process: this / old"]
    assert bar.holds == (broken == "old")
    assert "the C++ program cannot be built" in bar.note

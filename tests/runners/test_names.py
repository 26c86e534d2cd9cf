"""One dialect of globs: its rules, and Python and C++ alike on patterns of chance."""

import importlib.util
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["a", "b", "B", "ab", "a-b", "]", "[", "^", "!", "\\", "{a,b}", "é", "éa", "\U0001f600"]
NAMES += [".a", ".é", "5", ":]", "[a]", '"a"', "a\nb", os.fsdecode(b"\xff"), os.fsdecode(b"a\xe9")]


@pytest.fixture
def expand() -> Callable[[str], list[str]]:
    spec = importlib.util.spec_from_file_location("names", ROOT / "runners" / "names.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda pattern: list(module.expand(pattern))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with files of all NAMES in it and in its folders `g` and `.g`."""
    for place in (tmp_path, tmp_path / "g", tmp_path / ".g"):
        place.mkdir(exist_ok=True)
        for name in NAMES:
            (place / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("?", [*"!5B[\\]^abg", "é", "\U0001f600", "\udcff"]),
        ("a*", ["a", "a\nb", "a-b", "ab", "a\udce9"]),
        ("[a-c]", ["a", "b"]),
        ("[c-a]", []),
        ("[!a-zA-Z0-9]", [*"![\\]^", "é", "\U0001f600", "\udcff"]),
        ("[^a-zA-Z0-9]", [*"![\\]^", "é", "\U0001f600", "\udcff"]),
        ("[]a]", ["]", "a"]),
        ("[!]!-z]", ["é", "\U0001f600", "\udcff"]),
        ("[a-]*", ["a", "a\nb", "a-b", "ab", "a\udce9"]),
        ("[[:digit:]]", [":]"]),
        ("[[]a]", ["[a]"]),
        ("\\*", ["\\"]),
        ("{a,b}*", ["{a,b}"]),
        ("[", ["["]),
        ("[!", []),
        ("**/a", ["g/a"]),
        (".*", [".a", ".g", ".é"]),
        ("[.]*", []),
        (".g//[ab]", [".g//a", ".g//b"]),
        ("./g//b*", ["./g//b"]),
        ("g*/", ["g/"]),
        ("a*/", []),
        ("a/*", []),
        ("no/*", []),
        ("[a]", ["[a]"]),  # which exists
    ],
)
@pytest.mark.usefixtures("folder")
def test_each_rule_of_a_pattern(
    expand: Callable[[str], list[str]], pattern: str, names: list[str]
) -> None:
    assert expand(pattern) == sorted(names, key=os.fsencode)


def test_many_stars_take_no_time(expand: Callable[[str], list[str]], folder: Path) -> None:
    (folder / ("a" * 250)).touch()

    assert expand("a*" * 60 + "b") == []


def test_python_and_cpp_find_the_same_paths_and_write_the_same_names(
    sealed: Path, libtorch: Path, folder: Path
) -> None:
    chance = random.Random(0)
    letters = ["a", "b", "é", "]", "[", "[", "-", "!", "^", "*", "*", "?", ".", "\\", "/", "\udcff"]
    patterns = ["".join(chance.choices(letters, k=chance.randint(1, 7))) for _ in range(1000)]
    patterns += ["g/*", "*/[[:digit:]]*", "g//?", "*\n*", '"?"', "[a]", "[a,b]", "[!a]"]
    options = ["--crate", str(sealed), "--json", *(f"--image={pattern}" for pattern in patterns)]

    python = subprocess.run([sys.executable, sealed / "run_onnx.py", *options], capture_output=True)
    cpp = subprocess.run([libtorch, *options], capture_output=True)

    paths = [json.loads(line)["path"] for line in python.stdout.splitlines()]
    assert len(set(paths) - set(patterns)) > 30
    assert python.stdout.splitlines() == cpp.stdout.splitlines()
    assert python.stderr.splitlines() == cpp.stderr.splitlines()
    assert python.returncode == cpp.returncode == 1

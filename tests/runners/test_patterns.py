"""What --image finds: a path, or a pattern, the same files in Python and C++."""

import json
import os
import re
import shutil
from pathlib import Path

from programs import SAMPLE, Runner

from torchcrate.model.samples import DRAWINGS


def test_an_existing_path_is_taken_literally_before_it_is_a_pattern(
    run: Runner, tmp_path: Path
) -> None:
    literal = tmp_path / "seven[1].png"
    shutil.copy(SAMPLE, literal)
    shutil.copy(DRAWINGS / "0-round-marker.png", tmp_path / "seven1.png")

    done = run("--image", literal)

    assert "Image is a 7" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_a_name_may_begin_with_a_dash(run: Runner, tmp_path: Path) -> None:
    for name in ("-7.png", "--json"):
        shutil.copy(SAMPLE, tmp_path / name)

    done = run("--image", "-*", "--image", "--json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    found = re.findall(r"^Image is a 7 .*  (.+)$", done.stdout, re.M)
    assert found == ["--json", "-7.png", "--json"]


def test_a_glob_is_sorted_by_bytes(run: Runner, tmp_path: Path) -> None:
    names = ["a.png", "B.png", "é.png", "z.png", "10.png", "9.png"]
    for name in names:
        shutil.copy(SAMPLE, tmp_path / name)

    done = run("--json", "--image", "*.png", cwd=tmp_path, crate=run.crate)

    said = [json.loads(line)["path"] for line in done.stdout.splitlines()]
    assert said == sorted(names, key=os.fsencode)


def test_a_glob_may_exclude_letters_as_a_shell_does(run: Runner, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "^.png"):
        shutil.copy(SAMPLE, tmp_path / name)

    for pattern in ("[^a].png", "[!a].png"):
        done = run("--image", pattern, cwd=tmp_path, crate=run.crate)

        assert [line.split()[-1] for line in done.stdout.splitlines()] == ["^.png", "b.png"]


# Each pattern with what it finds among NAMES; Python and C++ must both find exactly this.
NAMES = (
    *("1.png", "2.png", "a.png", "b.png", "d].png", "^.png", "é.png", "[x.png", ".hid.png"),
    *("sub/a.png", "sub/.hid.png"),
)


GLOBS = {
    "?.png": ["1.png", "2.png", "^.png", "a.png", "b.png", "é.png"],
    "[[:digit:]].png": ["d].png"],
    "[^a1-9].png": ["^.png", "b.png", "é.png"],
    "[!a1-9].png": ["^.png", "b.png", "é.png"],
    "[b-a].png": [],
    "[!]a]*.png": ["1.png", "2.png", "[x.png", "^.png", "b.png", "d].png", "é.png"],
    "[*.png": ["[x.png"],
    "*hid*": [],
    ".*": [".hid.png"],
    "**/a.p?g": ["sub/a.png"],
    "sub//*.png": ["sub//a.png"],
    "./s*/a*": ["./sub/a.png"],
    "a.png/*": [],
    "{a,b}.png": [],
    "": [],
}


def test_a_pattern_finds_the_same_files_in_both_languages(run: Runner, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in NAMES:
        shutil.copy(SAMPLE, tmp_path / name)
    options = [word for pattern in GLOBS for word in ("--image", pattern)]

    done = run("--json", *options, cwd=tmp_path, crate=run.crate)

    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["path"], "label" in row) for row in rows] == [
        (path, path != pattern or path in NAMES)
        for pattern, found in GLOBS.items()
        for path in found or [pattern]
    ]


def test_names_that_are_no_utf8_are_found_and_told_apart(run: Runner, tmp_path: Path) -> None:
    names = [b"\xff.png", b"\xfe.png", b"\xe2\x82.png", "\U0001f600\x7f\n.png".encode()]
    for name in names:
        shutil.copy(os.fsencode(SAMPLE), os.fsencode(tmp_path) + b"/" + name)

    done = run("--json", "--image", "*.png", "--image", "?.png", cwd=tmp_path, crate=run.crate)

    said = [os.fsencode(json.loads(line)["path"]) for line in done.stdout.splitlines()]
    assert said == [*sorted(names), b"\xfe.png", b"\xff.png"]

"""The decode rule: Python, C++ and a slow reading of the specification agree on every file."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

with pytest.MonkeyPatch.context() as patch:  # the runner and its sibling, as a crate has them
    patch.syspath_prepend(ROOT / "runners")
    patch.syspath_prepend(HERE)
    import images
    import png_damage
    import png_writer
    import samples

Answer = tuple[int, int, bytes] | str  # height, width, grey values; or the reason for none
Read = Callable[[Path], dict[str, Answer]]
MUTANTS = 600


@pytest.fixture(params=["python", "python, three at once", "c++"])
def read(request: pytest.FixtureRequest, png_grey: Path) -> Read:
    """One of the decoders; reads every file of a folder."""
    if request.param == "c++":
        return lambda folder: read_cpp(png_grey, folder)
    return lambda folder: read_python(folder, 1 if request.param == "python" else 3)


def read_python(folder: Path, times: int = 1) -> dict[str, Answer]:
    """Read each file, and decode it as one of so many of its kind; other fillings between."""
    answers: dict[str, Answer] = {}
    for path in sorted(folder.iterdir()):
        try:
            png = images.read(path)
        except images.ImageError as error:
            answers[path.name] = str(error)
            continue
        dark = png._replace(rows=bytes(len(png.rows)))
        grey = images.decode([png, dark, png][:times], 1)
        assert grey.dtype == np.uint8
        assert grey.flags.c_contiguous
        assert (grey[0] == grey[-1]).all()
        answers[path.name] = (*grey.shape[2:], grey[-1].tobytes())
    return answers


def read_cpp(program: Path, folder: Path) -> dict[str, Answer]:
    paths = sorted(folder.iterdir())
    done = subprocess.run([program, *paths], capture_output=True, check=True)
    answers: dict[str, Answer] = {}
    rest = done.stdout
    for path in paths:
        line, _, rest = rest.partition(b"\n")
        if line != b"P5":
            answers[path.name] = line.decode().removeprefix("Error: ")
            continue
        size, _, rest = rest.partition(b"\n")
        width, height = map(int, size.split())
        rest = rest.removeprefix(b"255\n")
        answers[path.name] = (height, width, rest[: width * height])
        rest = rest[width * height :]
    assert done.stderr == b""
    assert rest == b""
    return answers


def write(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    for name, data in files:
        (folder / f"{name}.png").write_bytes(data)


def test_every_kind_of_png_becomes_the_grey_of_the_rule(read: Read, tmp_path: Path) -> None:
    want = {
        f"{p.name}.png": (len(p.rows), len(p.rows[0]), png_writer.grey(p))
        for p in png_writer.pictures()
    }
    write(tmp_path, ((p.name, png_writer.write(p)) for p in png_writer.pictures()))

    got = read(tmp_path)

    assert len(want) > 350
    assert {name for name in want if got[name] != want[name]} == set()


def test_three_channels_are_the_colours_of_the_rule(tmp_path: Path) -> None:
    pictures = png_writer.pictures()
    write(tmp_path, ((p.name, png_writer.write(p)) for p in pictures))

    for picture in pictures:
        png = images.read(tmp_path / f"{picture.name}.png")
        want = png_writer.colours(picture)
        for times in (1, 3):
            got = images.decode([png] * times, 3)
            assert got.shape == (times, 3, len(picture.rows), len(picture.rows[0]))
            assert got[-1].transpose(1, 2, 0).tobytes() == want, picture.name


@pytest.mark.parametrize("kind", [0, 1, 2, 3, 4])
def test_filters_of_a_file_too_large_for_a_loop_are_undone_alike(kind: int) -> None:
    """Pillow's answer for many bytes is that of the loop for few."""
    chance = np.random.default_rng(kind)
    for colour, channels in ((0, 1), (4, 2), (2, 3), (6, 4)):
        lines = chance.integers(0, 256, (9, 1 + 300 * channels), np.uint8)
        lines[:, 0] = [kind, *chance.integers(0, 5, 8)]
        header = images.Header(300, 9, 8, colour, False)
        png = images.Checked(header, None, None, lines.tobytes())

        looped = samples._looped(png)

        assert looped is not None
        assert (looped == samples._by_pillow([png], False)).all()


def test_all_else_in_a_sound_file_is_ignored(read: Read, tmp_path: Path) -> None:
    want = {f"{name}.png": (7, 9, png_writer.grey(p)) for name, p, _ in png_damage.harmless()}
    write(tmp_path, ((name, data) for name, _, data in png_damage.harmless()))

    got = read(tmp_path)

    assert {name: answer for name, answer in got.items() if answer != want[name]} == {}


def test_each_damage_is_refused_for_its_own_reason(read: Read, tmp_path: Path) -> None:
    cases = {f"{name}.png": reason for name, reason, _ in png_damage.refused()}
    write(tmp_path, ((name, data) for name, _, data in png_damage.refused()))

    got = read(tmp_path)

    assert len(cases) > 250
    for name, reason in cases.items():
        answer = got[name]
        assert isinstance(answer, str), f"{name} was read"
        assert answer.startswith(f"{tmp_path / name}: ")
        assert reason in answer
        assert "\n" not in answer


def test_both_decoders_say_the_same_of_every_damaged_file(png_grey: Path, tmp_path: Path) -> None:
    write(tmp_path, ((name, data) for name, _, data in png_damage.refused()))
    write(tmp_path, png_damage.mutants(MUTANTS, seed=20))

    python, cpp = read_python(tmp_path), read_cpp(png_grey, tmp_path)

    assert {name: (python[name], cpp[name]) for name in python if python[name] != cpp[name]} == {}
    accepted = sum(not isinstance(answer, str) for answer in python.values())
    assert MUTANTS / 50 < accepted < MUTANTS / 2


@pytest.mark.proof
def test_twenty_thousand_mutants_are_read_alike(png_grey: Path, tmp_path: Path) -> None:
    reasons: dict[str, int] = {}
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        write(folder, png_damage.mutants(1000, seed))

        python, cpp = read_python(folder), read_cpp(png_grey, folder)

        assert {name for name in python if python[name] != cpp[name]} == set()
        for name, answer in python.items():
            reason = answer if isinstance(answer, str) else "read by both"
            reason = reason.removeprefix(f"{folder / name}: ")
            reason = re.sub(r"(checksum in|chunk) [A-Za-z]{4}\b", r"\1 NAME", reason)
            reason = re.sub(r"\d+", "N", reason)
            reasons[reason] = reasons.get(reason, 0) + 1
    print("\nmutants of sound PNG files, and what Python and C++ both said of them")
    for reason, count in sorted(reasons.items(), key=lambda item: -item[1]):
        print(f"{count:6}  {reason}")


def test_the_drawings_are_read_alike(png_grey: Path, tmp_path: Path) -> None:
    for path in sorted((ROOT / "tests" / "drawings").glob("*.png")):
        (tmp_path / path.name).write_bytes(path.read_bytes())

    python, cpp = read_python(tmp_path), read_cpp(png_grey, tmp_path)

    assert len(python) >= 40
    assert python == cpp
    assert not any(isinstance(answer, str) for answer in python.values())


def test_a_path_that_is_no_file_is_refused(read: Read, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "nowhere.png").symlink_to(tmp_path / "gone")

    got = read(tmp_path)

    assert got["folder.png"] == f"{tmp_path / 'folder.png'}: is a directory"
    assert got["nowhere.png"] == f"{tmp_path / 'nowhere.png'}: no such file or directory"


def test_a_file_beyond_the_limit_is_refused(read: Read, tmp_path: Path) -> None:
    with (tmp_path / "large.png").open("wb") as file:
        file.write(png_writer.SIGNATURE)
        file.truncate(2**28 + 1)

    got = read(tmp_path)

    assert (
        got["large.png"]
        == f"{tmp_path / 'large.png'}: more than 268435456 bytes, which is the limit"
    )


def test_a_message_names_the_path_as_it_was_given(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(images.ImageError) as caught:
        images.read("./no.png")

    assert str(caught.value) == "./no.png: no such file or directory"


def test_the_decoder_imports_no_more_than_one_image_needs() -> None:
    script = "import sys; sys.path.insert(0, sys.argv[1]); import images; print(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-I", "-c", script, ROOT / "runners"],
        capture_output=True,
        text=True,
        check=True,
    )

    roots = {name.partition(".")[0] for name in done.stdout.split()}
    ours = roots - set(sys.stdlib_module_names) - {"__main__", "images", "samples", "chunks"}
    assert "numpy" in ours
    assert not ours & {"PIL", "torch", "onnxruntime", "safetensors", "torchcrate"}

"""The committed drawings are what they claim: whole, varied, and drawn by draw.py alone."""

import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

DRAWINGS = Path(__file__).parent / "drawings"
DIGITS = tuple("0123456789")
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6  # PNG's colour types
KINDS = {  # (colour type, bits, whether there is a tRNS chunk)
    *((GREY, depth, key) for depth in (1, 2, 4, 8, 16) for key in (False, True)),
    *((RGB, depth, key) for depth in (8, 16) for key in (False, True)),
    *((PALETTE, depth, False) for depth in (1, 2, 4, 8)),
    *((PALETTE, depth, True) for depth in (4, 8)),
    *((colour, depth, False) for colour in (GREY_ALPHA, RGBA) for depth in (8, 16)),
}
SIZES = {(28, 28), (20, 20), (64, 48), (100, 300), (300, 100), (57, 91), (280, 280)}
SIZES |= {(480, 640), (640, 480), (1000, 700)}
LOOKS: dict[str, Callable[[NDArray[np.int64], NDArray[np.bool_]], bool]] = {
    "dark on light": lambda grey, ink: bool(grey[ink].mean() < grey[~ink].mean()),
    "light on dark": lambda grey, ink: bool(grey[ink].mean() > grey[~ink].mean()),
    "faint": lambda grey, ink: bool(np.ptp(grey) < 110),
    "grey paper": lambda grey, ink: bool(100 < np.median(grey) < 200),
    "grainy paper": lambda grey, ink: bool(
        np.isin(np.abs(grey - np.median(grey)), range(1, 7)).mean() > 0.3
    ),
    "hard edges": lambda grey, ink: len(np.unique(grey)) == 2,
    "shaded edges": lambda grey, ink: len(np.unique(grey)) > 8,
    "centred": lambda grey, ink: bool((np.abs(middle(ink) - 0.5) < 0.08).all()),
    "far off-centre": lambda grey, ink: bool((np.abs(middle(ink) - 0.5) > 0.3).any()),
    "small": lambda grey, ink: bool(share(ink) < 0.28),
    "large": lambda grey, ink: bool(share(ink) > 0.85),
    "touching the border": lambda grey, ink: bool(
        ink[0].any() or ink[-1].any() or ink[:, 0].any() or ink[:, -1].any()
    ),
    "thin": lambda grey, ink: bool(ink.mean() < 0.004),
    "thick": lambda grey, ink: bool(ink.mean() > 0.15),
}


def middle(ink: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the middle of the ink's box, (y, x) as shares of the canvas."""
    spots = np.argwhere(ink)
    centre: NDArray[np.float64] = (spots.min(0) + spots.max(0) + 1) / 2 / ink.shape
    return centre


def share(ink: NDArray[np.bool_]) -> float:
    """Return the ink's box against the largest that the canvas holds, 0 to 1."""
    spots = np.argwhere(ink)
    return float(((np.ptp(spots, axis=0) + 1) / ink.shape).max())


def chunks(data: bytes) -> dict[bytes, bytes]:
    """Return a PNG's chunks by name, IDAT inflated; each checksum is looked at."""
    found, at = dict[bytes, bytes](), 8
    while at < len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(name + body)
        found[name] = zlib.decompress(body) if name == b"IDAT" else body
        at += 12 + length
    return found


def grey(data: bytes) -> NDArray[np.int64]:
    """Return the picture over white as a viewer shows it, (H, W), 0 to 255."""
    with Image.open(BytesIO(data)) as image:
        if image.mode == "I;16":
            return np.asarray(image).astype(np.int64) >> 8
        layer = image.convert("RGBA")
    sheet = Image.new("RGBA", layer.size, "white")
    sheet.alpha_composite(layer)
    return np.asarray(sheet.convert("L")).astype(np.int64)


@cache
def look(data: bytes) -> tuple[object, ...]:
    """Return what a file has of KINDS, SIZES and LOOKS, and of "interlaced COLOUR"."""
    parts = chunks(data)
    width, height, depth, colour, *_, adam7 = struct.unpack(">IIBBBBB", parts[b"IHDR"])
    seen = grey(data)
    away = np.abs(seen - np.median(seen))
    looks = [name for name, has in LOOKS.items() if has(seen, 2 * away > away.max())]
    interlaced = [f"interlaced {colour}"] if adam7 else []
    return ((colour, depth, b"tRNS" in parts), (width, height), *interlaced, *looks)


def faults(folder: Path) -> list[str]:
    """Return what a folder of drawings lacks, one line each; none for a good one."""
    labels = json.loads((folder / "labels.json").read_text())
    paths = sorted(folder.glob("*.png"))
    found = []
    if sorted(labels) != [path.name for path in paths]:
        found.append("labels.json does not name the files that are there")
    if len(paths) < 40:
        found.append(f"{len(paths)} drawings")
    if sum(path.stat().st_size for path in paths) >= 1_500_000:
        found.append("too large")
    digits = Counter(labels.values())
    found += [f"too few of {digit}" for digit in DIGITS if digits[digit] < 4]

    traits = Counter(trait for path in paths for trait in look(path.read_bytes()))
    wanted: dict[object, int] = {
        **dict.fromkeys(KINDS, 2),
        **dict.fromkeys(SIZES, 4),
        **dict.fromkeys(LOOKS, 4),
    }
    wanted |= {f"interlaced {colour}": 1 for colour in (GREY, RGB, PALETTE, GREY_ALPHA, RGBA)}
    found += [f"too few {trait}" for trait, least in wanted.items() if traits[trait] < least]
    return found


def run(out: Path, *options: str) -> Path:
    """Run draw.py as a person would; return the folder it drew into."""
    command = [sys.executable, str(DRAWINGS / "draw.py"), "--out", str(out), *options]
    subprocess.run(command, check=True, capture_output=True)
    return out


def test_the_set_holds_every_digit_kind_size_and_look() -> None:
    assert faults(DRAWINGS) == []


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("*_3-*", "too few of 3"),
        ("*_grey2-key_*", "too few (0, 2, True)"),
        ("*_rgba16_*", "too few (6, 16, False)"),
        ("*_57x91*", "too few (57, 91)"),
        ("*_adam7.png", "too few interlaced 3"),
        ("*_border_*", "too few touching the border"),
        ("*_faint-*", "too few faint"),
        ("*_[wygc]*-on-[bgd]*", "too few light on dark"),
        ("*", "0 drawings"),
    ],
    ids=lambda value: value.replace("*", ""),
)
def test_a_set_without_some_drawings_is_caught(tmp_path: Path, pattern: str, fault: str) -> None:
    folder = shutil.copytree(DRAWINGS, tmp_path / "drawings")
    for path in folder.glob(f"{pattern.removesuffix('.png')}.png"):
        path.unlink()
    kept = json.loads((folder / "labels.json").read_text())
    kept = {name: digit for name, digit in kept.items() if (folder / name).exists()}
    (folder / "labels.json").write_text(json.dumps(kept))

    found = faults(folder)

    assert fault in found


def test_a_drawing_without_a_label_is_caught(tmp_path: Path) -> None:
    folder = shutil.copytree(DRAWINGS, tmp_path / "drawings")
    shutil.copy(min(folder.glob("*.png")), folder / "999_unlabelled.png")

    found = faults(folder)

    assert found == ["labels.json does not name the files that are there"]


def test_the_program_draws_the_committed_pixels_again(tmp_path: Path) -> None:
    again = run(tmp_path)

    assert (again / "labels.json").read_text() == (DRAWINGS / "labels.json").read_text()
    for path in sorted(DRAWINGS.glob("*.png")):
        assert chunks(path.read_bytes()) == chunks((again / path.name).read_bytes()), path.name


def test_one_changed_sample_is_told_from_the_committed_one() -> None:
    whole = min(DRAWINGS.glob("*_grey8_*.png")).read_bytes()
    parts = chunks(whole)
    samples = bytearray(parts[b"IDAT"])
    samples[len(samples) // 2] ^= 1
    body = b"IDAT" + zlib.compress(bytes(samples))
    start, end = whole.index(b"IDAT") - 4, whole.index(b"IEND") - 4
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

    damaged = chunks(whole[:start] + chunk + whole[end:])

    assert damaged.keys() == parts.keys()
    assert damaged != parts


def test_another_seed_draws_other_pictures_and_labels_them(tmp_path: Path) -> None:
    one = run(tmp_path / "one", "--seed", "7", "--count", "20")
    two = run(tmp_path / "two", "--seed", "8", "--count", "20")

    labels = json.loads((one / "labels.json").read_text())
    assert sorted(labels) == sorted(path.name for path in one.glob("*.png"))
    assert Counter(labels.values()) == dict.fromkeys(DIGITS, 2)
    assert not {path.read_bytes() for path in one.glob("*.png")} & {
        path.read_bytes() for path in two.glob("*.png")
    }

"""The pictures are of every kind, and tell each way to misread a file from the right one."""

import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from torchcrate.model.contract import Contract, Sizes, tensor
from torchcrate.model.digits import DIGITS, MNIST
from torchcrate.model.samples import Pixels
from torchcrate.model.tolerance import difference
from torchcrate.model.weights import load
from torchcrate.verify.pictures import pictures, shown

RUNNERS = Path(__file__).parents[2] / "runners"
FAR = 100 * max(MNIST.tolerances.values())

# How a decoder may go wrong: the line, what it became, and the pictures that must tell.
DAMAGES = {
    "red counts half": ("19595 * red", "9595 * red", "rgb8 rgb16 rgba8 rgba16 palette8"),
    "green and blue swapped": (
        "38470 * green + 7471 * blue",
        "7471 * green + 38470 * blue",
        "rgb8 rgb16-clear rgba8 rgba16-adam7 palette2-clear palette4-clear palette8-clear",
    ),
    "alpha over black": (
        "+ 255 * (255 - alpha) +",
        "+",
        "grey-alpha8 grey-alpha16 rgba8 rgba16 "
        "palette1-clear palette2-clear palette4-clear palette8-clear",
    ),
    "alpha ignored": (
        "alpha = part[:, -1:].astype(np.uint32)",
        "alpha = np.uint32(255)",
        "grey-alpha8-adam7 grey-alpha16-adam7 rgba8-adam7 rgba16-adam7 palette1-clear-adam7",
    ),
    "alpha of a palette that ends ignored": (
        "alpha[: len(transparency), 0] = transparency",
        "pass",
        "palette1-clear palette2-clear palette4-clear palette8-clear",
    ),
    "past the end of a palette's alpha clear": (
        "alpha = np.full((len(colours), 1), 255, np.uint8)",
        "alpha = np.zeros((len(colours), 1), np.uint8)",
        "palette1-clear palette2-clear palette4-clear palette8-clear palette8",
    ),
    "key of 0 for every grey": (
        'int.from_bytes(png.transparency, "big")',
        "0",
        "grey2-clear grey4-clear grey8-clear",
    ),
    "key compared with scaled grey": (
        'table[int.from_bytes(png.transparency, "big") % len(values)]',
        'table[table == int.from_bytes(png.transparency, "big")]',
        "grey2-clear grey4-clear",
    ),
    "key overlooked": (
        "pixels[_keyed(pngs, found)] = 255",
        "pass",
        "grey16-clear grey16-clear-adam7 rgb8-clear rgb16-clear",
    ),
    "key of grey in its high byte alone": (
        "found == key[0]",
        "found >> 8 == key[0] >> 8",
        "grey16-clear grey16-clear-adam7",
    ),
    "key of colour in its high bytes alone": (
        "((found == key >> 8) & (low == key & 255))",
        "(found == key >> 8)",
        "rgb16-clear rgb16-clear-adam7",
    ),
    "key of colour in its low bytes alone": (
        "((found == key >> 8) & (low == key & 255))",
        "(low == key & 255)",
        "rgb16-clear rgb16-clear-adam7",
    ),
    "key of colour in one channel": (
        "(found == (key & 255)).all(axis=3)",
        "found[..., 0] == key[0]",
        "rgb8-clear rgb8-clear-adam7",
    ),
    "low byte of grey": ("(found >> 8)", "(found & 255)", "grey16 grey16-adam7 grey16-clear"),
    "low bytes of colour": (
        "found = pngs[0], samples(pngs)",
        "found = pngs[0], samples(pngs, low=pngs[0].header[2:4] == (16, 2))",
        "rgb16 rgb16-adam7 rgb16-clear",
    ),
    "few bits not scaled": (
        "* (255 // (2**png.header.depth - 1))",
        "",
        "grey2-clear grey4-clear",
    ),
}
# Off by one grey value somewhere: seen, though not from afar.
SLIPS = {
    "luma rounded down": ("+ 32768", "", "rgb8 rgb16 rgba8 palette8"),
    "luma by the hundredth": ("19595 * red + 38470", "19660 * red + 38405", "rgb8 rgb16 rgba8"),
    "alpha rounded down": ("+ 127", "", "grey-alpha8 rgba8 rgba16 palette8-clear"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pictures")
    shown(made, DIGITS)
    return made


@pytest.fixture(scope="module")
def reference() -> nn.Module:
    return load(MNIST).module


def answer(reference: nn.Module, grey: Pixels) -> np.ndarray:
    with torch.inference_mode():
        return reference(torch.from_numpy(grey)).numpy()


def decoder(monkeypatch: pytest.MonkeyPatch, right: str, wrong: str) -> types.ModuleType:
    """Return the module that ships, one place in it changed."""
    source = (RUNNERS / "images.py").read_text()
    code, _, head = source.partition('"""\n\nimport')[::-1]
    assert right in code
    monkeypatch.syspath_prepend(str(RUNNERS))
    module = types.ModuleType("damaged")
    exec(f'{head}"""\n\nimport{code.replace(right, wrong)}', module.__dict__)
    return module


def test_every_kind_of_png_is_there_plain_and_interlaced(folder: Path) -> None:
    found = set()
    for path in folder.iterdir():
        data = path.read_bytes()
        found.add((data[25], data[24], b"tRNS" in data, bool(data[28])))

    kinds = {(0, depth, clear) for depth in (1, 2, 4, 8, 16) for clear in (False, True)}
    kinds |= {(2, depth, clear) for depth in (8, 16) for clear in (False, True)}
    kinds |= {(3, depth, True) for depth in (1, 2, 4, 8)} | {(3, 8, False)}
    kinds |= {(colour, depth, False) for colour in (4, 6) for depth in (8, 16)}
    assert found == {(*kind, interlaced) for kind in kinds for interlaced in (False, True)}


def test_pictures_are_the_same_in_every_call_and_shown_beside_the_drawings(folder: Path) -> None:
    files = shown(folder, DIGITS)

    assert [png.encode() for png in pictures()] == [png.encode() for png in pictures()]
    assert len(files) == 10 + len(pictures())
    for path, grey in files.items():
        assert path.is_file()
        assert grey.dtype == np.uint8


def test_what_ships_reads_each_picture_as_it_must(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = decoder(monkeypatch, "", "")

    for path, grey in shown(folder, DIGITS).items():
        assert np.array_equal(sound.decode([sound.read(path)], 1), grey), path.name


@pytest.mark.parametrize("damage", DAMAGES | SLIPS)
def test_a_misreading_moves_the_answers_beyond_every_limit(
    damage: str, folder: Path, reference: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong, telling = (DAMAGES | SLIPS)[damage]
    damaged = decoder(monkeypatch, right, wrong)
    pngs = {png.name.removesuffix(".png"): png for png in pictures()}

    for name in telling.split():
        read = damaged.decode([damaged.read(folder / f"{name}.png")], 1)
        off = difference(answer(reference, read), answer(reference, pngs[name].grey())).max()
        assert off > (FAR if damage in DAMAGES else max(MNIST.tolerances.values())), name


def test_a_pass_of_adam7_put_elsewhere_moves_the_answers(reference: nn.Module) -> None:
    interlaced = [png for png in pictures() if png.interlaced and png.name[:11] != "grey1-clear"]

    for png in interlaced:
        grey = png.grey()
        moved = grey.copy()
        moved[..., 1::2, :] = np.roll(grey[..., 1::2, :], 1, -1)  # the last pass, by a column

        assert difference(answer(reference, moved), answer(reference, grey)).max() > FAR, png.name


@pytest.mark.parametrize(
    ("image", "sizes"),
    [
        ("image:uint8[batch,3,height,width] as image", {"height": "8..64", "width": "100..2000"}),
        ("image:uint8[batch,1,height,width] as image", {"height": "..32", "width": "500.."}),
        ("image:uint8[batch,1,side,side] as image", {"side": "60..2000"}),
        ("image:uint8[batch,3,32,width] as image", {"width": "..40"}),
    ],
)
def test_pictures_keep_to_the_limits_of_the_contract(
    image: str, sizes: dict[str, str], folder: Path
) -> None:
    limits = {axis: Sizes.parse(text) for axis, text in sizes.items()}
    contract = Contract((tensor(image),), (), (), limits)

    seen = shown(folder, contract)

    assert len(seen) >= 46
    for pixels in seen.values():
        contract.check([pixels])

"""The samples are small, grey, one for each digit, and taken from the committed drawings."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from torchcrate.model.preprocess import Preprocess
from torchcrate.model.samples import DRAWINGS, SIZES, drawings, pattern, patterns

ROOT = Path(__file__).parents[2]


def test_each_digit_has_a_sample() -> None:
    assert [name[0] for name in drawings()] == list("0123456789")


def test_every_sample_is_one_of_the_committed_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "runners"))
    from images import decode, read

    shapes = {pixels.shape[2:] for pixels in drawings().values()}
    drawn = [decode([read(path)], 1)[0, 0] for path in (ROOT / "tests" / "drawings").glob("*.png")]
    alike = [pixels for pixels in drawn if pixels.shape in shapes]
    sys.modules.pop("images")

    for name, sample in drawings().items():
        assert any(np.array_equal(sample[0, 0], pixels) for pixels in alike), name


def test_a_colour_png_among_the_samples_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "0-colour.png")
    monkeypatch.setattr("torchcrate.model.samples.DRAWINGS", tmp_path)

    with pytest.raises(ValueError, match="eight-bit grey"):
        drawings()


def test_patterns_come_from_a_seed() -> None:
    first, second = patterns(2, 20, 20), patterns(2, 20, 20)

    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert {"black", "white", "noise", "ties", "boxes"} <= set(first)
    assert len(list(DRAWINGS.glob("*.png"))) == 10


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_ties_are_exact_in_every_size(height: int, width: int) -> None:
    """The border's mean, corners counted twice, lies exactly between darkest and lightest."""
    images = pattern("ties", 7, height, width).astype(np.int64)[:, 0]

    border = sum(images[edge].sum(1) for edge in (np.s_[:, 0], np.s_[:, -1]))
    border += sum(images[edge].sum(1) for edge in (np.s_[:, :, 0], np.s_[:, :, -1]))
    darkest, lightest = images.min((1, 2)), images.max((1, 2))
    assert (2 * border == (darkest + lightest) * 2 * (height + width)).all()


@pytest.mark.parametrize(("height", "width"), [size for size in SIZES if size != (1, 1)])
def test_boxes_of_ink_end_in_exact_ties_in_every_size(height: int, width: int) -> None:
    """Decided otherwise, the tie of strong and weak ink would move all four sides of the box."""
    images = pattern("boxes", 7, height, width)
    grey = torch.from_numpy(images.astype(np.int32))[:, 0]

    ink = Preprocess()._ink(grey).numpy()
    peak = ink.max((1, 2), keepdims=True)
    strong, tied = 2 * ink > peak, 2 * ink == peak

    assert tied.any((1, 2)).all()
    for axis in (1, 2):
        inside, with_ties = strong.any(axis), (strong | tied).any(axis)
        assert (inside.argmax(1) > with_ties.argmax(1)).all()
        assert (inside[:, ::-1].argmax(1) > with_ties[:, ::-1].argmax(1)).all()
    light = images[:, 0, 0, 0] > images[:, 0].min((1, 2))
    assert {True, False} == set(light.tolist())  # on paper of either kind

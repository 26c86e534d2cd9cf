"""Raw pixels become the same picture whatever their polarity, place, size and shape."""

import numpy as np
import pytest
import torch

from torchcrate.model.preprocess import Preprocess
from torchcrate.model.samples import SIZES, patterns, ties


def picture(pixels: np.ndarray) -> torch.Tensor:
    return Preprocess().picture(torch.from_numpy(pixels)[None, None])


@pytest.fixture
def bar() -> np.ndarray:
    """A light L on dark, off-centre, in an image that is not square."""
    pixels = np.zeros((60, 100), np.uint8)
    pixels[10:40, 20:26] = 255
    pixels[34:40, 20:36] = 255
    return pixels


def test_dark_on_light_gives_the_picture_of_light_on_dark(bar: np.ndarray) -> None:
    assert torch.equal(picture(bar), picture(255 - bar))


def test_place_does_not_matter(bar: np.ndarray) -> None:
    moved = np.roll(bar, (13, 55), (0, 1))

    assert torch.allclose(picture(bar), picture(moved), atol=1e-5)


def test_contrast_does_not_matter(bar: np.ndarray) -> None:
    faint = np.where(bar > 0, 140, 100).astype(np.uint8)

    assert torch.allclose(picture(bar), picture(faint), atol=1e-5)


def test_a_drawing_twice_as_large_gives_nearly_the_same_picture(bar: np.ndarray) -> None:
    large = bar.repeat(2, 0).repeat(2, 1)

    assert (picture(bar) - picture(large)).abs().max() < 0.05


def test_aspect_is_kept() -> None:
    tall = np.zeros((100, 100), np.uint8)
    tall[10:90, 40:60] = 255

    ink = picture(tall)[0, 0] > 0.5

    assert ink.any(1).sum() == 20
    assert ink.any(0).sum() in (4, 5, 6)  # a quarter of 20, on pixel borders or not


def test_ink_is_as_large_and_central_as_in_mnist(bar: np.ndarray) -> None:
    ink = picture(bar)[0, 0]
    lines = torch.arange(28.0)

    middle = (ink.sum(1) @ lines / ink.sum(), ink.sum(0) @ lines / ink.sum())

    assert middle == pytest.approx((13.5, 13.5), abs=0.1)
    assert (ink.sum(1) > 0.5).sum() in (20, 21)


def test_shadow_and_grain_are_no_ink(bar: np.ndarray) -> None:
    grain = np.random.default_rng(0).integers(0, 12, bar.shape).astype(np.uint8)
    scanned = np.where(bar > 0, 40, 220 - grain).astype(np.uint8)

    assert (picture(bar) - picture(scanned)).abs().max() < 0.1


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("name", ["black", "white", "noise", "ties"])
def test_every_pattern_gives_finite_ink_in_0_to_1(size: tuple[int, int], name: str) -> None:
    image = torch.from_numpy(patterns(3, *size)[name])

    ink = Preprocess().picture(image)

    assert ink.shape == (3, 1, 28, 28)
    assert torch.isfinite(ink).all()
    assert ink.min() >= 0
    assert ink.max() <= 1


def test_an_image_in_a_batch_is_read_as_it_is_alone() -> None:
    images = torch.from_numpy(patterns(7, 57, 91)["strokes"])

    together = Preprocess().picture(images)

    for image, ink in zip(images, together, strict=True):
        assert torch.allclose(Preprocess().picture(image[None])[0], ink, atol=1e-6)


def test_ties_lie_exactly_on_the_edge_and_are_read_as_dark_paper() -> None:
    images = ties((200, 1, 12, 16), np.random.default_rng(0))
    grey = images[:, 0].astype(int)

    border = grey[:, 0].sum(1) + grey[:, -1].sum(1) + grey[:, :, 0].sum(1) + grey[:, :, -1].sum(1)
    doubled = (grey.min((1, 2)) + grey.max((1, 2))) * 2 * (12 + 16)
    one_lighter = images.copy()
    one_lighter[:, :, 0, 5] += 1  # one step of one border pixel tips the scale

    tied = border * 2 == doubled
    assert tied.mean() > 0.5
    dark = Preprocess()._ink(torch.from_numpy(images[tied, 0]).int())
    lowest = torch.from_numpy(grey[tied]).amin((1, 2), keepdim=True)
    highest = torch.from_numpy(grey[tied]).amax((1, 2), keepdim=True)
    want = (8 * (torch.from_numpy(grey[tied]) - lowest) - (highest - lowest)).clamp(min=0)
    assert torch.equal(dark, want.int())
    tipped = Preprocess()._ink(torch.from_numpy(one_lighter[tied, 0]).int())
    assert not torch.equal(tipped, dark)

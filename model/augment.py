"""Training pictures as other hands and other pens would have drawn them."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from torchcrate.model.preprocess import Preprocess

ANGLE = 0.2  # radians
SHEAR = 0.2
STRETCH = math.log(1.13)  # of each axis
SHIFT = 0.1  # of half the picture
RESTROKED = 0.15  # share of pictures made bolder, and the share made finer
FLAGGED = 0.3  # share of ones that get a flag
FOOTED = 0.4  # share of these that get a foot too


def augment(pictures: Tensor, labels: Tensor) -> Tensor:
    """Rotate, shear, stretch, shift and re-stroke each picture by its own chance.

    Draws from torch's global random generator.

    Args:
        pictures: Ink in [0, 1], shape (N, 1, 28, 28), float32.
        labels: Their digits, shape (N,).

    Returns:
        Pictures of the same shape and range, the darkest stroke 1.
    """
    count = len(pictures)
    ones = (labels == 1) & (torch.rand(count) < FLAGGED)
    if ones.any():
        pictures = pictures.clone()
        pictures[ones] = flagged(pictures[ones])

    def chance(reach: float) -> Tensor:
        return (torch.rand(count) * 2 - 1) * reach

    angle, shear = chance(ANGLE), chance(SHEAR)
    wide, high = chance(STRETCH).exp(), chance(STRETCH).exp()
    across = torch.stack([wide * angle.cos(), shear - wide * angle.sin(), chance(SHIFT)], 1)
    down = torch.stack([high * angle.sin(), high * angle.cos(), chance(SHIFT)], 1)
    grid = functional.affine_grid(torch.stack([across, down], 1), list(pictures.shape), False)
    moved = functional.grid_sample(pictures, grid, align_corners=False)

    pick = torch.rand(count)
    bold, fine = pick < RESTROKED, pick > 1 - RESTROKED
    bolder = functional.max_pool2d(moved[bold], 3, 1, 1)
    finer = -functional.max_pool2d(-moved[fine], 3, 1, 1)
    moved[bold] = torch.lerp(moved[bold], bolder, torch.rand(len(bolder), 1, 1, 1))
    moved[fine] = torch.lerp(moved[fine], finer, torch.rand(len(finer), 1, 1, 1))
    return moved / moved.amax((2, 3), keepdim=True).clamp(min=0.2)


def flagged(ones: Tensor) -> Tensor:
    """Give each one a flag at its head, and some a foot, as much of Europe writes them.

    MNIST's ones are bare sticks; a network that saw no other takes a flagged one for a seven.

    Args:
        ones: Ink in [0, 1], shape (N, 1, 28, 28), float32.

    Returns:
        Ink of the same shape and range, scaled and centred again.
    """
    count = len(ones)
    lines = torch.arange(Preprocess.side)
    inked = ones[:, 0].amax(2) > 0.5
    head = torch.where(inked, lines, Preprocess.side).amin(1)
    sole = torch.where(inked, lines, -1).amax(1)
    pen = (ones.sum((1, 2, 3)) / (sole - head + 1)).clamp(1, 4)
    angle = torch.empty(count).uniform_(0.35, 1.05)
    length = torch.empty(count).uniform_(4, 10)
    reach = torch.empty(count).uniform_(2, 5) * (torch.rand(count) < FOOTED)
    x, y = _middle(ones, head), head.float()
    flag = _stroke((x, y), (x - length * angle.cos(), y + length * angle.sin()), pen)
    x, y = _middle(ones, sole), sole.float()
    foot = _stroke((x - reach, y), (x + reach, y), pen * (reach > 0))
    drawn = torch.maximum(ones, torch.maximum(flag, foot).unsqueeze(1))
    return Preprocess().picture((drawn * 255).to(torch.uint8))


def _middle(pictures: Tensor, rows: Tensor) -> Tensor:
    """Return where the ink of one row of each picture has its middle, (N,)."""
    ink = pictures[torch.arange(len(pictures)), 0, rows.clamp(0, Preprocess.side - 1)]
    return (ink * torch.arange(Preprocess.side)).sum(1) / ink.sum(1).clamp(min=1e-6)


def _stroke(start: tuple[Tensor, Tensor], end: tuple[Tensor, Tensor], pen: Tensor) -> Tensor:
    """Return the ink, (N, 28, 28), of straight strokes as wide as `pen` (N,) pixels."""
    axis = torch.arange(Preprocess.side).float()
    x0, y0, x1, y1, wide = (value.view(-1, 1, 1) for value in (*start, *end, pen))
    across, down = x1 - x0, y1 - y0
    px, py = axis.view(1, 1, -1) - x0, axis.view(1, -1, 1) - y0
    along = ((px * across + py * down) / (across**2 + down**2).clamp(min=1e-6)).clamp(0, 1)
    distance = torch.hypot(px - along * across, py - along * down)
    return (wide / 2 + 0.5 - distance).clamp(0, 1) * (wide > 0)

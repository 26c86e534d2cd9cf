"""Raw grey pixels become what the network was trained on, inside the graph.

Imports torch and nothing else: the file ships beside the eager runner. What is
exported is `Sequential(Preprocess(), Net())`, so no caller in any language
repeats a step of this.

MNIST was made by scaling the ink of a digit to fit 20x20 and centring its mass
in 28x28 (LeCun, Cortes and Burges, "The MNIST database"). Here the same is done
to any image. Every hard choice (polarity, ink, box) compares integers, so that
every runtime decides it alike; all that is float is continuous in the pixels.
"""

from typing import Final

import torch
from torch import Tensor, nn


class Preprocess(nn.Module):
    """(N, 1, H, W) uint8 grey values of any H and W >= 1 -> (N, 1, 28, 28) float32.

    Attributes:
        side: Height and width of the picture that the network sees.
        box: The longer side of the ink in it.
        mean: Of MNIST's training pixels, in [0, 1].
        deviation: The standard deviation of the same pixels.
    """

    side: Final[int] = 28
    box: Final[int] = 20
    mean: Final[float] = 0.1307
    deviation: Final[float] = 0.3081

    def forward(self, image: Tensor) -> Tensor:
        """Find the ink, scale and centre it, normalise it.

        Args:
            image: Raw grey values in [0, 255], shape (N, 1, H, W), uint8;
                dark ink on light paper or light ink on dark.

        Returns:
            Normalised ink, shape (N, 1, 28, 28), float32.
        """
        return (self.picture(image) - self.mean) / self.deviation

    def picture(self, image: Tensor) -> Tensor:
        """Return the ink alone: (N, 1, 28, 28) float32 in [0, 1], paper 0, the darkest stroke 1."""
        ink = self._ink(image.squeeze(1).to(torch.int32))
        rows_most, columns_most = ink.amax(2), ink.amax(1)
        peak = rows_most.amax(1, keepdim=True)
        top, bottom = self._extent(2 * rows_most > peak)
        left, right = self._extent(2 * columns_most > peak)
        step = torch.maximum(bottom - top, right - left).to(torch.float32) / self.box
        mass = ink.to(torch.int64)  # for any size; a sum of int32 would copy it so each time
        rows = self._weights(mass.sum(2), step)
        columns = self._weights(mass.sum(1), step)
        picture = rows @ ink.to(torch.float32) @ columns.transpose(1, 2)
        brightest = picture.amax((1, 2), keepdim=True)
        return (picture / brightest.clamp(min=1e-6)).unsqueeze(1)

    def _ink(self, grey: Tensor) -> Tensor:
        """Return how far each pixel is from the paper, faint haze removed; int32, same shape.

        The paper is light if the outermost pixels, corners counted twice, lie nearer to
        the lightest than to the darkest pixel; an exact tie is dark. What differs from the
        paper by less than an eighth of the contrast (grain, shadow) is no ink.
        """
        darkest = grey.amin((1, 2), keepdim=True)
        lightest = grey.amax((1, 2), keepdim=True)
        border = (
            grey[:, 0].sum(1) + grey[:, -1].sum(1) + grey[:, :, 0].sum(1) + grey[:, :, -1].sum(1)
        )
        count = 2 * (grey.size(1) + grey.size(2))
        light = 2 * border.view(-1, 1, 1) > (darkest + lightest) * count
        ink = (grey - torch.where(light, lightest, darkest)).abs()
        return (8 * ink - (lightest - darkest)).clamp(min=0)

    def _extent(self, inked: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first and one past the last position with ink, (N,) each; all if none."""
        positions = torch.arange(inked.size(1), device=inked.device)
        inked = inked | ~inked.any(1, keepdim=True)
        first = torch.where(inked, positions, inked.size(1)).amin(1)
        last = torch.where(inked, positions, -1).amax(1)
        return first, last + 1

    def _weights(self, mass: Tensor, step: Tensor) -> Tensor:
        """Return how much of each of L input lines each of the 28 output lines takes.

        An output line is the mean over `step` input lines (area averaging), or between
        the two nearest when enlarging; the centre of mass lands in the middle.

        Args:
            mass: Ink of each line, (N, L), int64.
            step: Input lines per output line, (N,), float32.

        Returns:
            (N, 28, L) float32; the lines of a digit that is whole sum to 1.
        """
        lines = torch.arange(mass.size(1), device=mass.device)
        moment = (mass * lines).sum(1)
        total = mass.sum(1)
        middle = moment.to(torch.float32) / total.clamp(min=1).to(torch.float32)
        offsets = (
            torch.arange(self.side, device=mass.device).to(torch.float32) - (self.side - 1) / 2
        )
        centres = (middle.unsqueeze(1) + offsets * step.unsqueeze(1)).unsqueeze(2)
        width = step.clamp(min=1).view(-1, 1, 1)
        spread = lines.to(torch.float32) - centres
        upper = torch.minimum(spread + 0.5, width / 2)
        lower = torch.maximum(spread - 0.5, -width / 2)
        return (upper - lower).clamp(min=0) / width

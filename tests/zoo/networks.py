"""torchvision's networks with weights that answer differently to different pictures.

Fresh weights prove little: a head of zeros answers the same to every picture, and so does a deep
network whose normalisation was never fitted. Here constant parameters become random ones, layers
are scaled to answers of ordinary size, and BatchNorm is calibrated, all on smooth pictures.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchcrate.model import targets
from torchcrate.model.spec import Cases, ModelSpec

KINDS = ("classification", "segmentation", "detection", "video")
_SIDE = {"inception_v3": 299}  # where torchvision says so; 224 elsewhere
_FRAMES = {"mvit_v1_b": 16, "mvit_v2_s": 16}
_VIDEO_SIDE = {"mvit_v1_b": 224, "mvit_v2_s": 224, "s3d": 224}  # what they are built for
CALIBRATING = 12  # pictures
_OTHER = (160, 256)  # another size of picture: neither square nor that of the example


@dataclass(frozen=True)
class Zoo:
    """One network of torchvision.

    Attributes:
        name: As `torchvision.models.get_model` knows it.
        kind: One of KINDS.
        module: Where its builder lies.
        parameters: Numbers in its weights.
    """

    name: str
    kind: str
    module: str
    parameters: int

    def spec(self, *, free: bool) -> ModelSpec:
        """Describe it, with free sizes of the picture or with the usual ones."""
        video = self.kind == "video"
        side = (_VIDEO_SIDE.get(self.name, 112) if video else 0) or _SIDE.get(self.name, 224)
        frames = _FRAMES.get(self.name, 16)
        axes = ("height", "width") if free else (side, side)
        shape = ("batch", 3, frames, *axes) if video else ("batch", 3, *axes)
        smallest = f"{side}.." if self.name == "s3d" else "64.." if video else "128.."
        return ModelSpec(
            name=self.name.replace("_", "-"),
            build=f"{self.module}:{self.name}",
            arguments={}
            if self.kind in ("classification", "video")
            else {"weights_backbone": None},
            inputs=(f"image:float32[{','.join(map(str, shape))}] as image",),
            sizes={"height": smallest, "width": smallest} if free else {},
            samples=self._samples(side, frames if video else 0, free=free),
        )

    def _samples(self, side: int, frames: int, *, free: bool) -> Callable[[], Cases]:
        lead = (3, frames) if frames else (3,)
        other = (side + 16, side + 32) if self.name == "s3d" else _OTHER
        if frames and self.name != "s3d":
            other = _OTHER[0] // 2, _OTHER[1] // 2

        def cases() -> Cases:
            asked = {
                f"batch{batch}": {"image": pictures((batch, *lead, side, side), seed=batch)}
                for batch in (1, 2, 5)
            }
            if free:
                name = f"{other[0]}x{other[1]}"
                asked[name] = {"image": pictures((2, *lead, *other), seed=9)}
            return asked

        return cases


def zoo() -> list[Zoo]:
    """Return all of them, the smallest first."""
    models = targets.resolve("torchvision:models")
    found = []
    for kind in KINDS:
        room = models if kind == "classification" else getattr(models, kind)
        for name in models.list_models(module=room):
            count = models.get_model_weights(name).DEFAULT.meta["num_params"]
            found.append(Zoo(name, kind, room.__name__, count))
    return sorted(found, key=lambda each: each.parameters)


def pictures(shape: tuple[int, ...], seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return smooth pictures (..., height, width), normalised as photographs are, no two alike."""
    chance = np.random.default_rng(seed)
    *lead, height, width = shape
    rows, columns = np.arange(height)[:, None] / height, np.arange(width)[None, :] / width
    field = np.zeros(shape)
    for _ in range(4):
        down, across, phase = (
            chance.uniform(*ends, (*lead, 1, 1)) for ends in ((0, 5), (0, 5), (0, 1))
        )
        strength = chance.uniform(0, 1, (*lead, 1, 1))
        field += strength * np.sin(2 * np.pi * (down * rows + across * columns + phase))
    scale = chance.uniform(0.3, 1.3, (lead[0], *(1 for _ in shape[1:])))
    shift = chance.uniform(-1, 1, (*lead[:2], *(1 for _ in shape[2:])))
    return (scale * field + shift + 0.05 * chance.standard_normal(shape)).astype(np.float32)


def enliven(network: nn.Module, spec: ModelSpec) -> None:
    """Give a network weights whose answers depend on the picture; in eval mode afterwards.

    Args:
        network: As built; changed in place.
        spec: Its samples are of the size to calibrate with.
    """
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all()):
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
                spread = min(0.2, fan_in**-0.5)
                parameter += spread * torch.randn(parameter.shape, generator=chance)
    network.eval()
    assert callable(spec.samples)
    shape = spec.samples()["batch5"]["image"].shape
    images = torch.from_numpy(pictures((CALIBRATING, *shape[1:]), seed=77))
    with _calibrating(network), torch.no_grad():
        network(images)
    network.eval()


@contextmanager
def _calibrating(network: nn.Module) -> Iterator[None]:
    """Scale each layer at its first answer; BatchNorm takes the statistics of the pictures."""
    hooks = []
    for part in network.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.track_running_stats:
            momentum, part.momentum = part.momentum, None
            part.reset_running_stats()
            part.train()
            hooks.append((part, momentum))
    handles = [
        part.register_forward_hook(_scale)
        for part in network.modules()
        if isinstance(part, nn.Linear | nn.Conv2d | nn.Conv3d)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for part, momentum in hooks:
            part.momentum = momentum
            # A channel that hardly varies among few pictures would be blown up a thousandfold.
            part.running_var.clamp_(min=float(part.running_var.mean()) / 4)


def _scale(part: Any, given: tuple[Tensor, ...], answer: Tensor) -> Tensor | None:
    size = float(answer.std())
    if hasattr(part, "scaled") or 0.3 < size < 3 or size == 0:
        return None
    part.scaled = True
    part.weight /= size
    if part.bias is not None:
        part.bias /= size
    return answer / size

"""What a network does on the way: branches, loops, sizes, and operators that a format lacks."""

import functools
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # as everybody writes it
from small import Small
from torch import Tensor, nn


class Branch(nn.Module):
    """It decides by the values of its input; a script keeps both ways."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x * 2
        return x - 1


class BranchTraced(nn.Module):
    """The same in code that cannot be scripted: a trace would freeze the branch."""

    def forward(self, *given: Tensor) -> Tensor:
        x = given[0]
        if x.sum() > 0:
            return x * 2
        return x - 1


class RareBranch(nn.Module):
    """A branch that no made-up input takes, which a trace would lose unseen."""

    def forward(self, *given: Tensor) -> Tensor:
        x = given[0]
        if x.abs().max() > 1000:
            return x * 0
        return x * 2


class RareSize(nn.Module):
    """A branch by a size that no made-up input has."""

    def forward(self, *given: Tensor) -> Tensor:
        x = given[0]
        return x * 0 if x.shape[0] > 1000 else x * 2


class FixedSizeAsked(nn.Module):
    """It decides by sizes that the contract fixes, or for every size alike: a trace may."""

    def forward(self, *given: Tensor) -> Tensor:
        x = given[0]
        if x.shape[1] != 4 or x.shape[0] < 0:
            raise ValueError(x.shape)
        return x * 2


class EqualAsked(nn.Module):
    """torch.equal gives a plain bool, of which a trace does not even warn."""

    def forward(self, *given: Tensor) -> Tensor:
        one, other = given
        return one if torch.equal(one, other) else one + other


class ThroughNumpy(nn.Module):
    """numpy in the middle: constant in a trace."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.from_numpy(np.sort(x.detach().numpy(), axis=1))


class ThroughList(nn.Module):
    def forward(self, *given: Tensor) -> Tensor:
        x = given[0]
        return x + torch.tensor(x.tolist()).flip(1)


class ItemScale(nn.Module):
    """A number taken out of a tensor and put back."""

    def forward(self, *given: Tensor) -> Tensor:
        x = given[0]
        return x / float(x.abs().max() + 1)


class OwnNumber(nn.Module):
    """A number taken out of a buffer of its own: the same for ever, so a trace may keep it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(3.0))

    def forward(self, *given: Tensor) -> Tensor:
        return given[0] * float(self.scale)


class DecidesByItself(OwnNumber):
    """A decision on a tensor that no input goes into."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if self.scale > 2 else x


class Loop(nn.Module):
    """One step for each time."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(x.shape[0], 5)
        for time in range(x.shape[1]):
            state = self.cell(x[:, time], state)
        return state


class LoopTraced(nn.Module):
    """The same in a generator: a trace has as many steps as its example."""

    def steps(self, x: Tensor) -> Iterator[Tensor]:
        yield from x.unbind(1)

    def forward(self, x: Tensor) -> Tensor:
        state = torch.zeros(x.shape[0], 3)
        for step in self.steps(x):
            state = torch.tanh(state + step)
        return state


class WhileLoop(nn.Module):
    """As many rounds as the values ask for."""

    def forward(self, x: Tensor) -> Tensor:
        while bool(x.abs().max() > 1):
            x = x / 2
        return x


class BatchBakedIn(nn.Module):
    """view(3, -1) fits a batch of 3 alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view(3, -1)


class Ravelled(nn.Module):
    """view(3, -1) that fits every batch, and mixes what is asked at once."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, -1).cumsum(1)


class SizeBakedIn(nn.Module):
    """A size kept from the first call as a plain number: whatever comes first is baked in."""

    def forward(self, *given: Tensor) -> Tensor:
        x = given[0]
        return x.sum(1) + int(x.shape[0])


class UpsampleBySize(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        low = self.conv(image)
        return F.interpolate(low, size=image.shape[-2:], mode="bilinear", align_corners=False)


class Masked(nn.Module):
    """Indexing by a mask: an answer whose length depends on the values."""

    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0].sum() + (x > 0).nonzero().float().sum()


class DataLength(nn.Module):
    """An answer whose length depends on the values: its axis is free, and only that."""

    def forward(self, x: Tensor) -> Tensor:
        return x[x > 0]


class Splits(nn.Module):
    """A tuple of pieces, put together in another order."""

    def forward(self, x: Tensor) -> Tensor:
        one, two, three = x.split([1, 2, 1], dim=1)
        return torch.cat([three, one, two], 1)


class Einsum(nn.Module):
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.einsum("bij,bjk->bik", a, b).softmax(-1)


class Fourier(nn.Module):
    """Complex numbers inside."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft(x, dim=-1).abs()


class ComplexInside(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        z = torch.complex(x, x.flip(-1))
        return (z * z.conj()).real + z.angle()


class Eigen(nn.Module):
    """An operator that ONNX does not have."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvalsh(x @ x.transpose(1, 2))


class StarArguments(nn.Module):
    """*args, which TorchScript does not know."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, *given: Tensor) -> Tensor:
        return self.fc(torch.stack(given).sum(0))


class KeywordDict(nn.Module):
    """**kwargs: every input by its name."""

    def forward(self, **given: Tensor) -> Tensor:
        return given["left"] @ given["right"]


class _Scaler:
    def __init__(self, by: float) -> None:
        self.by = by

    def __call__(self, x: Tensor) -> Tensor:
        return x * self.by


class PythonObject(nn.Module):
    """A part that is a plain Python object, which TorchScript compiles too."""

    def __init__(self) -> None:
        super().__init__()
        self.scaler = _Scaler(2.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.scaler(x).relu()


class Partial(nn.Module):
    """A part that Python alone can call."""

    def __init__(self) -> None:
        super().__init__()
        self.act = functools.partial(F.leaky_relu, negative_slope=0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


class Generator(nn.Module):
    """A generator in forward, over as many parts as the network has."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([*(part(x) for part in self.parts)]).amax(0)


class AnyType(nn.Module):
    """Lambdas and closures."""

    def __init__(self) -> None:
        super().__init__()
        self.act = lambda x: x.clamp(-1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(x)


class FailsOnSmall(nn.Module):
    """A kernel larger than the smallest input that the contract allows."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 3, 40)

    def forward(self, sound: Tensor) -> Tensor:
        return self.conv(sound)


_X = ("x:float32[batch,4]",)

CONTROL = [
    Small(Branch, _X, onnx="values of its input"),
    Small(BranchTraced, _X, refused="decides by the values of its input at "),
    Small(RareBranch, _X, refused="decides by the values of its input at "),
    Small(RareSize, _X, refused="decides by a size"),
    Small(FixedSizeAsked, _X, torchscript="trace"),
    Small(EqualAsked, ("one:float32[n]", "other:float32[n]"), refused="decides by the values"),
    Small(ThroughNumpy, _X, refused="decides by the values of its input at "),
    Small(ThroughList, _X, refused="decides by the values"),
    Small(ItemScale, _X, torchscript="decides by the values of its input", onnx="onnx"),
    Small(OwnNumber, _X, torchscript="trace"),
    Small(DecidesByItself, _X, onnx="a decision on what a tensor holds at tests/zoo/small_"),
    Small(Loop, ("x:float32[batch,time,3]",), onnx="baked in at tests/zoo/small_control.py"),
    Small(LoopTraced, ("x:float32[batch,time,3]",), refused="baked in, time 9"),
    Small(WhileLoop, _X, onnx="values of its input"),
    Small(BatchBakedIn, _X, refused="fails"),
    Small(Ravelled, _X),
    Small(SizeBakedIn, _X, refused="baked in at tests/zoo/small_control.py"),
    Small(UpsampleBySize, ("image:float32[batch,1,height,width]",)),
    Small(Masked, _X),
    Small(DataLength, _X, torchscript="script", onnx="onnx"),
    Small(Splits, _X),
    Small(Einsum, ("a:float32[batch,n,m]", "b:float32[batch,m,k]")),
    Small(Fourier, ("x:float32[batch,16]",)),
    Small(ComplexInside, ("x:float32[batch,8]",)),
    Small(Eigen, ("x:float32[batch,3,3]",), onnx="linalg_eigh"),
    Small(StarArguments, ("one:float32[batch,4]", "two:float32[batch,4]"), torchscript="trace"),
    Small(KeywordDict, ("left:float32[n,3]", "right:float32[3,m]"), torchscript="trace"),
    Small(PythonObject, _X),
    Small(Partial, _X, torchscript="trace"),
    Small(Generator, _X, torchscript="trace"),
    Small(AnyType, _X, torchscript="trace"),
    Small(FailsOnSmall, ("sound:float32[batch,2,time]",), refused="Kernel size"),
]

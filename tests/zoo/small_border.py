"""What crosses the border of a network: its inputs and its answers, in every form they take."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from small import Small
from torch import Tensor, nn


class TwoIn(nn.Module):
    """Two inputs of different kinds and ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, features: Tensor, scale: Tensor) -> Tensor:
        return self.fc(features) * scale


class TupleOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.fc(x)
        return y, y.argmax(1)


class NestedOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        y = self.fc(x)
        return y, (y.sum(1), y.mean())


class DictOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.fc(x)
        return {"scores": y, "best": y.amax(1)}


@dataclass
class Boxes:
    """What a detector might say."""

    corners: Tensor
    scores: Tensor


class DataclassOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Boxes:
        y = self.fc(x)
        return Boxes(y.cumsum(1), y.sigmoid().sum(1))


class Named(NamedTuple):
    """An answer with names."""

    mean: Tensor
    spread: Tensor


class NamedTupleOut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Named:
        y = self.fc(x)
        return Named(y.mean(1), y.std(1))


class ListOut(nn.Module):
    """A list of as many tensors whatever the input."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x * 2, x.sum(1), x.T.contiguous()]


class OptionalIn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = self.fc(x)
        if mask is not None:
            y = y.masked_fill(~mask, 0.0)
        return y


class OptionalTraced(nn.Module):
    """An optional input in code that cannot be scripted, which is the only way to hold it."""

    def forward(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        pieces = [*(part for part in (x, bias) if part is not None)]
        return sum(pieces[1:], pieces[0])


class Ints(nn.Module):
    """Integers of two widths in, an integer out."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x * 3 - y


class Bools(nn.Module):
    """Bools in and out."""

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        return one ^ other, (one & other).any(1)


class IntOverflow(nn.Module):
    """What wraps around in eager wraps around in every format, and a sum is of 64 bits."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x * 7, x.sum(1), x.to(torch.int32).cumsum(1)


class Division(nn.Module):
    """Whole numbers below zero: floor, truncation and remainder."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        floor = torch.div(x, 7, rounding_mode="floor")
        return floor, torch.div(x, 7, rounding_mode="trunc"), x % 7, x / 7


class HalfWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(16, 8, dtype=torch.float16)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


class BfloatInside(nn.Module):
    """bfloat16 weights; the border has float32."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(16, 8, dtype=torch.bfloat16)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.to(torch.bfloat16)).float()


class BfloatOut(nn.Module):
    """bfloat16 that no program could read."""

    def forward(self, x: Tensor) -> Tensor:
        return x.to(torch.bfloat16)


class Doubles(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).exp()


class NoBatch(nn.Module):
    """One thing at a time, of one size."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten())


class Scalars(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x + 1


class EmptyBatch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x).relu()


class KeywordOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor, *, gain: Tensor, shift: Tensor) -> Tensor:
        return self.fc(x) * gain + shift


class OtherOrder(nn.Module):
    """The contract names its inputs in another order than forward."""

    def forward(self, minuend: Tensor, subtrahend: Tensor) -> Tensor:
        return minuend - 2 * subtrahend


class ExtraArgument(nn.Module):
    """An argument with a default that the contract leaves out."""

    def forward(self, x: Tensor, power: int = 2, shift: Tensor | None = None) -> Tensor:
        y = x**power
        return y if shift is None else y + shift


class ReturnsInput(nn.Module):
    """One answer is the input itself, another a view of it."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return x, x.transpose(0, 1), x + 1


class Twice(nn.Module):
    """The same tensor under two names."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = x.exp()
        return {"one": y, "other": y}


class UnusedIn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor, ignored: Tensor) -> Tensor:
        return self.fc(x)


class HalfTheHeight(nn.Module):
    """An answer whose free axes are reckoned from the input's."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image)


class FloatOut(nn.Module):
    def forward(self, x: Tensor) -> float:
        return float(x.sum())


class TextOut(nn.Module):
    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"scores": x * 2, "what": "cat"}


class NoneOut(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return x * 2, None


class OneEach(nn.Module):
    """As many answers as the batch is long."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [row * 2 for row in x]


class ComplexOut(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.complex(x, x)


_X = ("x:float32[batch,4]",)

BORDER = [
    Small(TwoIn, ("features:float32[batch,4]", "scale:float32[]")),
    Small(TupleOut, _X),
    Small(NestedOut, _X),
    Small(DictOut, _X),
    Small(DataclassOut, _X, torchscript="trace"),
    Small(NamedTupleOut, _X),
    Small(ListOut, _X),
    Small(OptionalIn, (*_X, "mask?:bool[batch,3]"), onnx="ONNX has no optional inputs"),
    Small(
        OptionalTraced,
        ("x:float32[batch,4]", "bias?:float32[batch,4]"),
        refused="a trace has no optional inputs",
    ),
    Small(Ints, ("x:int32[n] in -99..99", "y:int64[n] in -9..9")),
    Small(Bools, ("one:bool[n,3]", "other:bool[n,3]")),
    Small(IntOverflow, ("x:int8[n,3] in -128..127",)),
    Small(Division, ("x:int64[n] in -50..50",)),
    Small(HalfWeights, ("x:float16[batch,16]",)),
    Small(BfloatInside, ("x:float32[batch,16]",), onnx="Could not find an implementation for"),
    Small(BfloatOut, _X, refused="bfloat16"),
    Small(Doubles, ("x:float64[batch,4]",)),
    Small(NoBatch, ("x:float32[2,3]",)),
    Small(Scalars, ("x:float32[]",)),
    Small(EmptyBatch, _X, sizes={"batch": "0.."}),
    Small(KeywordOnly, (*_X, "gain:float32[batch,1]", "shift:float32[3]")),
    Small(OtherOrder, ("subtrahend:float32[n]", "minuend:float32[n]")),
    Small(ExtraArgument, ("x:float32[n]", "shift:float32[n]")),
    Small(ReturnsInput, _X),
    Small(Twice, _X),
    Small(UnusedIn, (*_X, "ignored:float32[batch]")),
    Small(HalfTheHeight, ("image:float32[batch,3,height,width]",)),
    Small(FloatOut, _X, refused="is float, not a tensor"),
    Small(TextOut, _X, refused="answer['what'] is str, not a tensor"),
    Small(NoneOut, _X, refused="answer[1] is NoneType, not a tensor"),
    Small(OneEach, _X, refused="return the same tensors"),
    Small(ComplexOut, _X, refused="complex64"),
]

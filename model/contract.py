"""What goes into a network and what comes out: names, dtypes, axes, labels.

Needs no torch. The exported files carry this value as JSON, the manifest
states it, and the C++ program reads it from the file that it loads.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from torchcrate.errors import ContractError, UsageError
from torchcrate.values import decode

DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64"),
)
"""What may cross the border of a network: what numpy, safetensors and LibTorch all know."""

RESERVED = ("path", "label", "error")
"""Keys that programs add to the outputs of an answer in JSON; no output may have such a name."""

IMAGE = "image"  # the meaning of an input that programs may fill from image files

_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_TENSOR = re.compile(
    r"(?P<name>\w+)(?P<optional>\?)?\s*:\s*(?P<dtype>\w+)\s*\[(?P<axes>[\w\s,]*)\]"
    r"(?:\s+in\s+(?P<range>(?:(?!\s+as\s).)+))?"
    r"(?:\s+as\s+(?P<meaning>.+))?",
    re.ASCII,
)
_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"(?P<low>{_NUMBER})?\s*\.\.\s*(?P<high>{_NUMBER})?", re.ASCII)
_SIZES = re.compile(r"(?P<low>\d{1,18})?\s*\.\.\s*(?P<high>\d{1,18})?", re.ASCII)


@dataclass(frozen=True)
class Sizes:
    """How long a free axis may be.

    Attributes:
        minimum: The smallest size; 0 lets a batch be empty.
        maximum: The largest, None if there is none.
    """

    minimum: int = 1
    maximum: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Sizes":
        """Read `1..512`, `0..` or `..64`.

        Raises:
            UsageError: If it is no such text.
        """
        found = _SIZES.fullmatch(text.strip())
        if not found:
            raise UsageError(f"{text!r} is no range of sizes: write LOW..HIGH, say 1..512")
        high = found["high"]
        return cls(int(found["low"] or 1), int(high) if high else None)

    def hold(self, size: int) -> bool:
        """Return whether an axis may have this size."""
        return self.minimum <= size and (self.maximum is None or size <= self.maximum)

    def words(self) -> str:
        """Return the range for people."""
        return f"{self.minimum}..{'' if self.maximum is None else self.maximum}"


@dataclass(frozen=True)
class TensorSpec:
    """One named tensor of a contract.

    Attributes:
        name: The name it has in every format and in `--tensors` files.
        dtype: One of DTYPES.
        axes: One entry an axis: a number is fixed, a word is free; none for a scalar.
        minimum: The smallest value it may hold, None if unbounded.
        maximum: The largest value it may hold, None if unbounded.
        meaning: What the values are, for people; an "image" makes `--image`
            work (see `Contract.image`), and outputs that are "log-probabilities", "probabilities"
            or "logits" of labels are shown with a percentage.
        optional: Whether a caller may leave it out.
    """

    name: str
    dtype: str
    axes: tuple[int | str, ...]
    minimum: float | None = None
    maximum: float | None = None
    meaning: str = ""
    optional: bool = False

    def check(self, tensor: Any, sizes: Mapping[str, Sizes] | None = None) -> None:
        """Refuse `tensor` (anything with `dtype` and `shape`) if it does not fit.

        Raises:
            ContractError: If the dtype, the rank or an axis differs.
        """
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype != self.dtype:
            raise ContractError(f"{self.name} has dtype {dtype}, not {self.dtype}")
        shape = tuple(tensor.shape)
        fits = len(shape) == len(self.axes) and all(
            (sizes or {}).get(axis, Sizes()).hold(size) if isinstance(axis, str) else size == axis
            for size, axis in zip(shape, self.axes, strict=True)
        )
        if not fits:
            axes = ", ".join(map(str, self.axes))
            free = "; ".join(
                f"{axis} {(sizes or {}).get(axis, Sizes()).words()}"
                for axis in dict.fromkeys(self.axes)
                if isinstance(axis, str)
            )
            raise ContractError(
                f"{self.name} has shape {shape}, not ({axes}){f' with {free}' if free else ''}"
            )

    def range_words(self) -> str:
        """Return the range of its values as `tensor` reads it; `..` where there is none."""
        return f"{_written(self.minimum)}..{_written(self.maximum)}"

    def words(self) -> str:
        """Return the tensor as `tensor` reads it."""
        ranged = self.range_words()
        return (
            f"{self.name}{'?' if self.optional else ''}:{self.dtype}"
            f"[{','.join(map(str, self.axes))}]"
            + (f" in {ranged}" if ranged != ".." else "")
            + (f" as {self.meaning}" if self.meaning else "")
        )


def tensor(text: str) -> TensorSpec:
    """Read a tensor from one line: `tokens:int64[batch,time] in 0..999 as tokens`.

    `mask?:bool[batch,time]` may be left out by callers; `scale:float32[]` is a scalar.

    Raises:
        UsageError: If it is no such line.
    """
    found = _TENSOR.fullmatch(text.strip())
    if not found:
        raise UsageError(
            f"{text!r} is no tensor: write NAME:DTYPE[AXIS,...], say image:float32[batch,3,224,224]"
        )
    if not _NAME.fullmatch(found["name"]):
        raise UsageError(f"{found['name']!r} is no name of a tensor: begin it with a letter")
    if found["dtype"] not in DTYPES:
        raise UsageError(
            f"{found['name']} cannot be {found['dtype']}, it is one of {', '.join(DTYPES)}: "
            "cast inside the network"
        )
    ranged = _RANGE.fullmatch((found["range"] or "..").strip())
    if not ranged:
        raise UsageError(f"{found['range']!r} in {text!r} is no range of numbers: write LOW..HIGH")
    low, high = (None if ranged[end] is None else float(ranged[end]) for end in ("low", "high"))
    words = found["axes"].split(",") if found["axes"].strip() else []
    axes = tuple(_axis(word.strip(), text) for word in words)
    meaning = (found["meaning"] or "").strip()
    return TensorSpec(
        found["name"], found["dtype"], axes, low, high, meaning, bool(found["optional"])
    )


def _axis(word: str, text: str) -> int | str:
    if re.fullmatch(r"0*[1-9]\d{0,17}", word, re.ASCII):
        return int(word)
    if not _NAME.fullmatch(word):
        raise UsageError(f"{word!r} in {text!r} is neither a size nor the name of a free axis")
    return word


def _written(value: float | None) -> str:
    """Return a number as `tensor` reads it back, to its last bit."""
    return "" if value is None else repr(float(value)).removesuffix(".0")


@dataclass(frozen=True)
class Contract:
    """Everything a caller must know of a network; `parse(c.dump()) == c` holds.

    Attributes:
        inputs: The named inputs, in the order in which models take them.
        outputs: The named outputs, in the order in which models give them.
        labels: The word for each position of the last axis of the first output; empty
            if its positions have no names.
        sizes: How long each free axis may be; one that is not named has at least 1. The
            same word is the same size in all tensors of one call.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...] = ()
    sizes: dict[str, Sizes] = field(default_factory=dict)

    @property
    def free(self) -> tuple[str, ...]:
        """The free axes of the inputs, in order of appearance."""
        return tuple(
            dict.fromkeys(a for given in self.inputs for a in given.axes if isinstance(a, str))
        )

    @property
    def image(self) -> TensorSpec | None:
        """The input that programs fill from image files, (N, 1 or 3, H, W) uint8; None if none is.

        It means IMAGE, is the only one that a caller must give, may hold all values of its dtype,
        and N may be 1.
        """
        needed = [given for given in self.inputs if not given.optional]
        one = needed[0] if len(needed) == 1 else None
        if one is None or (one.meaning, one.dtype) != (IMAGE, "uint8") or len(one.axes) != 4:
            return None
        if (one.minimum or 0) > 0 or (255 if one.maximum is None else one.maximum) < 255:
            return None
        batch, channels = one.axes[:2]
        alone = batch == 1 or (isinstance(batch, str) and self.sizes_of(batch).hold(1))
        return one if alone and channels in (1, 3) else None

    def sizes_of(self, axis: str) -> Sizes:
        """Return how long a free axis may be."""
        return self.sizes.get(axis, Sizes())

    def check(self, given: Sequence[Any], answers: Sequence[Any] = ()) -> None:
        """Refuse the tensors of one call if they break the contract; None stands for absent.

        Raises:
            ContractError: If a dtype, a rank or a size is not as it must be, an input that is
                not optional is absent, or one axis has two sizes.
        """
        known: dict[str, tuple[int, str]] = {}
        for spec, value in self._pairs(given, answers):
            if value is None:
                if not spec.optional:
                    raise ContractError(f"{spec.name} is missing")
                continue
            spec.check(value, self.sizes)
            for axis, size in zip(spec.axes, value.shape, strict=True):
                if isinstance(axis, str):
                    first, who = known.setdefault(axis, (int(size), spec.name))
                    if first != size:
                        raise ContractError(
                            f"{spec.name} has {axis} {int(size)}, {who} has {first}"
                        )

    def _pairs(
        self, given: Sequence[Any], answers: Sequence[Any]
    ) -> Iterator[tuple[TensorSpec, Any]]:
        if len(given) != len(self.inputs):
            raise ContractError(f"there are {len(given)} inputs, not {len(self.inputs)}")
        yield from zip(self.inputs, given, strict=True)
        if answers:
            if len(answers) != len(self.outputs):
                raise ContractError(f"there are {len(answers)} outputs, not {len(self.outputs)}")
            yield from zip(self.outputs, answers, strict=True)

    def dump(self) -> bytes:
        """Return the contract as canonical JSON: keys in declared order, no white space."""
        return msgspec.json.encode(self)

    @classmethod
    def parse(cls, data: bytes) -> "Contract":
        """Read what `dump` wrote.

        Raises:
            ContractError: If `data` is not such JSON.
        """
        return decode(data, cls, "not a contract")

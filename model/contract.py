"""What goes into a network and what comes out: names, dtypes, axes, labels.

Needs no torch. The exported files carry this value as JSON, the manifest
states it, and the C++ program reads it from the file that it loads.
"""

from dataclasses import dataclass
from typing import Any

import msgspec

from torchcrate.errors import ContractError
from torchcrate.values import decode


@dataclass(frozen=True)
class TensorSpec:
    """One named tensor of a contract.

    Attributes:
        name: The name it has in every format and in `--tensors` files.
        dtype: A safetensors-style word: "uint8", "float32", ...
        axes: One entry an axis: a number is fixed, a word is free (>= 1).
        minimum: The smallest value it may hold, None if unbounded.
        maximum: The largest value it may hold, None if unbounded.
        meaning: What the values are, for people; "image" makes `--image` work.
    """

    name: str
    dtype: str
    axes: tuple[int | str, ...]
    minimum: float | None
    maximum: float | None
    meaning: str

    def check(self, tensor: Any) -> None:
        """Refuse `tensor` (anything with `dtype` and `shape`) if it does not fit.

        Raises:
            ContractError: If the dtype, the rank or an axis differs.
        """
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype != self.dtype:
            raise ContractError(f"{self.name} has dtype {dtype}, not {self.dtype}")
        shape = tuple(tensor.shape)
        fits = len(shape) == len(self.axes) and all(
            size >= 1 if isinstance(axis, str) else size == axis
            for size, axis in zip(shape, self.axes, strict=True)
        )
        if not fits:
            axes = ", ".join(map(str, self.axes))
            raise ContractError(f"{self.name} has shape {shape}, not ({axes}) with free axes >= 1")


@dataclass(frozen=True)
class Contract:
    """Everything a caller must know of a network; `parse(c.dump()) == c` holds.

    Attributes:
        inputs: The named inputs, in the order of `forward`.
        outputs: The named outputs, in the order that `forward` returns them.
        labels: The word for each position of the last axis of the first output.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...]

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


DIGITS = Contract(
    inputs=(
        TensorSpec(
            name="image",
            dtype="uint8",
            axes=("batch", 1, "height", "width"),
            minimum=0.0,
            maximum=255.0,
            meaning="image",
        ),
    ),
    outputs=(
        TensorSpec(
            name="log_probs",
            dtype="float32",
            axes=("batch", 10),
            minimum=None,
            maximum=0.0,
            meaning="natural logarithms of probabilities",
        ),
    ),
    labels=tuple("0123456789"),
)

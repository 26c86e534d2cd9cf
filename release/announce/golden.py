"""The golden vectors of two versions, held against each other with the standard library alone.

golden.safetensors holds for each case `CASE.INPUT` and `CASE.OUTPUT`, the names after the
dot being the contract's. What is compared is behaviour: where both were asked the same,
how far are the answers apart?
"""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torchcrate.errors import ContractError
from torchcrate.model.contract import Contract

_HEADER = struct.Struct("<Q")  # safetensors: the length of the JSON that follows
_CODES = {
    **{"F64": "d", "F32": "f", "F16": "e", "I64": "q", "U64": "Q", "I32": "i", "U32": "I"},
    **{"I16": "h", "U16": "H", "I8": "b", "U8": "B", "BOOL": "?"},
}


@dataclass(frozen=True)
class Tensor:
    """One tensor as it lies in the file: two that are equal hold the same bits."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes

    def values(self) -> tuple[float, ...]:
        """Return the elements in row-major order.

        Raises:
            ContractError: If the standard library cannot read this dtype.
        """
        code = _CODES.get(self.dtype)
        if code is None:
            raise ContractError(f"golden outputs of dtype {self.dtype} cannot be compared")
        return struct.unpack(f"<{len(self.data) // struct.calcsize(f'<{code}')}{code}", self.data)


@dataclass(frozen=True)
class Golden:
    """How far the golden outputs of two versions are apart.

    Attributes:
        compared: Cases with the same inputs in both, whose outputs were compared.
        other: Cases of either that the other does not have, or has with other inputs.
        largest: Largest |b - a| / (1 + |a|) over all compared; None if none was compared.
        lost: Cases in which a number became NaN or infinite, or the other way round; they
            have no difference.
        worst: The case it was found in; empty if none was compared.
        flips: Rows of the first output whose largest element is at another place.
        problem: Why nothing could be compared; empty if something could.
    """

    compared: int = 0
    other: int = 0
    largest: float | None = None
    lost: int = 0
    worst: str = ""
    flips: int = 0
    problem: str = ""


def compare(old: bytes, new: bytes, before: Contract, after: Contract) -> Golden:
    """Compare two golden.safetensors; what cannot be compared is said, not raised.

    Args:
        old: One file, of a version with the contract `before`.
        new: The other, of a version with the contract `after`.
        before: Says which tensors of `old` are inputs and which outputs.
        after: The same for `new`.
    """
    try:
        return _compare(read(old), read(new), before, after)
    except ContractError as error:
        return Golden(problem=str(error))


def read(data: bytes) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        ContractError: If it is none, or contradicts itself.
    """
    try:
        (length,) = _HEADER.unpack_from(data)
        if length > len(data):
            raise ValueError("not within the file")
        header = json.loads(data[_HEADER.size : _HEADER.size + length])
        body = memoryview(data)[_HEADER.size + length :]
        return {name: _tensor(row, body) for name, row in header.items() if name != "__metadata__"}
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ContractError("the golden vectors are no safetensors file") from error


def _tensor(row: Mapping[str, object], body: memoryview) -> Tensor:
    """Return one tensor, if the header says of it what can be."""
    dtype, shape, offsets = row["dtype"], row["shape"], row["data_offsets"]
    if not isinstance(dtype, str) or not isinstance(shape, list) or not isinstance(offsets, list):
        raise ValueError("not a tensor")
    start, end = offsets
    if not all(isinstance(n, int) and n >= 0 for n in (start, end, *shape)):
        raise ValueError("not a shape")
    size = struct.calcsize(f"<{_CODES[dtype]}") * math.prod(shape) if dtype in _CODES else None
    if not start <= end <= len(body) or size not in (None, end - start):
        raise ValueError("not within the file")
    return Tensor(dtype, tuple(shape), bytes(body[start:end]))


def _compare(
    old: Mapping[str, Tensor], new: Mapping[str, Tensor], before: Contract, after: Contract
) -> Golden:
    asked, asked_now = _cases(old, before), _cases(new, after)
    same = [case for case in asked if case in asked_now and asked[case] == asked_now[case]]
    outputs = [
        tensor.name
        for tensor in before.outputs
        if tensor.name in {other.name for other in after.outputs}
    ]
    compared, lost, largest, worst, flips = 0, 0, -1.0, "", 0
    for case in same:
        pairs = [(old.get(f"{case}.{name}"), new.get(f"{case}.{name}")) for name in outputs]
        alike = [(a, b) for a, b in pairs if a is not None and b is not None and a.shape == b.shape]
        if not alike:
            continue
        compared += 1
        far = max(difference(a.values(), b.values()) for a, b in alike)
        if math.isinf(far):
            lost += 1
        elif far > largest:
            largest, worst = far, case
        if before.labels and outputs[0] == before.outputs[0].name and alike[0] == pairs[0]:
            flips += _flips(*alike[0])
    other = len(asked.keys() | asked_now.keys()) - compared
    if not compared:
        return Golden(other=other, problem="no input in common")
    return Golden(compared, other, largest if worst else None, lost, worst, flips)


def _cases(tensors: Mapping[str, Tensor], contract: Contract) -> dict[str, tuple[Tensor, ...]]:
    """Return the inputs of each case that has all it needs, by case; absent ones are left out."""
    names = [tensor.name for tensor in contract.inputs]
    needed = [tensor.name for tensor in contract.inputs if not tensor.optional]
    cases = dict.fromkeys(name.rpartition(".")[0] for name in tensors)
    return {
        case: tuple(tensors[key] for name in names if (key := f"{case}.{name}") in tensors)
        for case in cases
        if all(f"{case}.{name}" in tensors for name in needed)
    }


def difference(old: Sequence[float], new: Sequence[float]) -> float:
    """Return the largest |b - a| / (1 + |a|); infinite where a number became none."""
    largest = 0.0
    for a, b in zip(old, new, strict=True):
        if a == b or (math.isnan(a) and math.isnan(b)):
            continue
        if not (math.isfinite(a) and math.isfinite(b)):
            return math.inf
        largest = max(largest, abs(b - a) / (1 + abs(a)))
    return largest


def _flips(old: Tensor, new: Tensor) -> int:
    """Return how many rows have their largest element at another place."""
    width = old.shape[-1] if old.shape else 0
    if width < 2:
        return 0
    one, other = old.values(), new.values()
    rows = range(0, len(one), width)
    return sum(_best(one[at : at + width]) != _best(other[at : at + width]) for at in rows)


def _best(row: Sequence[float]) -> int:
    return max(range(len(row)), key=lambda at: row[at])

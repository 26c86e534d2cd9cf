"""What a model takes and gives, as the JSON inside its file says it; mirrors contract.cpp.

An axis is a number, which is fixed, or a word, which is free within the limits that the
contract states for the word (at least 1 where it states none). The same word is the same
size in all tensors of one call.
"""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from runtime import CONTRACT, Array, RunError

DTYPES = (
    *("bool", "uint8", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64"),
)
_KNOWN = 1000  # kinds of calls that are remembered as good


class Bounds(NamedTuple):
    """The values that a tensor may hold, where its dtype has others.

    Attributes:
        low: The least, as the dtype holds it; infinite where there is no end.
        high: The greatest, likewise.
        words: For people: "0 to 9", "0 or more" or "9 or less".
    """

    low: float
    high: float
    words: str


class TensorSpec(NamedTuple):
    """One named tensor.

    Attributes:
        name: In every format, in `--tensors` files and in JSON.
        dtype: One of DTYPES.
        axes: One entry an axis: a number >= 1 is fixed, a word is free.
        meaning: What the values are; some words of it act, see `pictures.py`.
        optional: Whether a call may leave it out; never so for outputs.
        bounds: Of its values; None if it may hold all that its dtype can.
    """

    name: str
    dtype: str
    axes: tuple[int | str, ...]
    meaning: str
    optional: bool
    bounds: Bounds | None


class Limits(NamedTuple):
    """The smallest and the largest size of an axis; None is unlimited."""

    minimum: int = 1
    maximum: int | None = None

    def __str__(self) -> str:
        if self.minimum == self.maximum:
            return str(self.minimum)
        return f"{self.minimum} {'or more' if self.maximum is None else f'to {self.maximum}'}"

    def hold(self, size: int) -> bool:
        """Return whether an axis may have this size."""
        return size >= self.minimum and (self.maximum is None or size <= self.maximum)


@dataclass(frozen=True)
class Contract:
    """All that a caller must know of a model.

    Attributes:
        inputs: In the order that the model takes them.
        outputs: In the order that the model gives them.
        labels: A word for each position of the last axis of the first output; or none.
        sizes: Limits of free axes, by their word.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    labels: tuple[str, ...]
    sizes: dict[str, Limits]
    _known: dict[Any, dict[str, tuple[int, str]]] = field(default_factory=dict, repr=False)

    def limits(self, axis: int | str) -> Limits:
        """Return the sizes that an axis may have."""
        return self.sizes.get(axis, Limits()) if isinstance(axis, str) else Limits(axis, axis)

    @cached_property
    def _bounded(self) -> list[tuple[int, str, Bounds]]:
        """The inputs whose values have bounds, by their place and name."""
        return [
            (place, spec.name, spec.bounds)
            for place, spec in enumerate(self.inputs)
            if spec.bounds is not None
        ]

    def check_inputs(self, given: Sequence[Array | None]) -> dict[str, tuple[int, str]]:
        """Return the size of each free axis of `given`, and the tensor that has it.

        Raises:
            RunError: If one that is not optional is None, or one breaks the contract.
        """
        call = tuple([None if one is None else (one.dtype, one.shape) for one in given])
        sizes = self._known.get(call)
        if sizes is None:
            sizes = {}
            for spec, tensor in zip(self.inputs, given, strict=True):
                if tensor is not None:
                    self._check(spec, tensor, sizes)
                elif not spec.optional:
                    raise RunError(CONTRACT, f"tensor {spec.name} is missing")
            self._remember(call, sizes)
        for place, name, bounds in self._bounded:
            tensor = given[place]
            if tensor is not None and tensor.size:
                _require_bounds(name, bounds, tensor)
        return sizes

    def check_outputs(self, answers: Sequence[Array], sizes: dict[str, tuple[int, str]]) -> None:
        """Hold `answers` against the contract and the sizes of the inputs.

        Raises:
            RunError: If their number differs, or one breaks the contract.
        """
        call = (id(sizes), tuple([(answer.dtype, answer.shape) for answer in answers]))
        if call in self._known:
            return
        if len(answers) != len(self.outputs):
            found = f"the model answers with {len(answers)} tensors"
            raise RunError(CONTRACT, f"{found}, the contract has {len(self.outputs)}")
        sizes_of_all = dict(sizes)
        for spec, tensor in zip(self.outputs, answers, strict=True):
            self._check(spec, tensor, sizes_of_all)
        self._remember(call, sizes)

    def _remember(self, call: Any, sizes: dict[str, tuple[int, str]]) -> None:
        if len(self._known) < _KNOWN:
            self._known[call] = sizes

    def _check(self, spec: TensorSpec, tensor: Array, sizes: dict[str, tuple[int, str]]) -> None:
        """Refuse a tensor that does not fit `spec`; add its free axes to `sizes`."""
        axes, shape = spec.axes, tensor.shape
        fits = len(shape) == len(axes) and all(
            isinstance(axis, str) or size == axis for size, axis in zip(shape, axes, strict=True)
        )
        if str(tensor.dtype) != spec.dtype or not fits:
            raise unlike(spec, str(tensor.dtype), shape)
        for size, axis in zip(shape, axes, strict=True):
            if not isinstance(axis, str):
                continue
            limits = self.limits(axis)
            if not limits.hold(size):
                line = f"{spec.name} has {axis} {size}, the contract has {limits}"
                raise RunError(CONTRACT, line)
            same, owner = sizes.setdefault(axis, (size, spec.name))
            if size != same:
                line = f"{spec.name} has {axis} {size}, {owner} has {same}"
                raise RunError(CONTRACT, line)


def unlike(spec: TensorSpec, dtype: str, shape: Sequence[int]) -> RunError:
    """Return the error for a tensor of another dtype or shape than `spec`."""
    found = f"{dtype}({', '.join(map(str, shape))})"
    wanted = f"{spec.dtype}({', '.join(map(str, spec.axes))})"
    return RunError(CONTRACT, f"{spec.name} is {found}, the contract has {wanted}")


def _require_bounds(name: str, bounds: Bounds, tensor: Array) -> None:
    """Refuse a tensor with a value out of its bounds, the least one first; none holds NaN."""
    low, high = float(tensor.min()), float(tensor.max())
    if not (low >= bounds.low and high <= bounds.high):
        found = _written(high if low >= bounds.low else low)
        raise RunError(CONTRACT, f"{name} holds {found}, the contract has {bounds.words}")


def parse_contract(text: str | bytes) -> Contract:
    """Return the contract that a model carries as JSON; `text` is empty if it carries none.

    `labels`, `inputs` and `outputs` must be there; `sizes` and a tensor's `optional`, `minimum`
    and `maximum` may be missing, as in crates that are older than they are.

    Raises:
        ValueError: If it is no contract: not JSON, or a part is missing or of another kind.
    """
    if not text:
        raise ValueError("it carries no contract")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a contract: {error}") from error
    if not isinstance(value, dict):
        raise ValueError("not a contract: no object of JSON")
    inputs, outputs = _tensors(value, "inputs"), _tensors(value, "outputs")
    names = [spec.name for spec in inputs + outputs]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ValueError(f"not a contract: two tensors are called {twice[0]}")
    if any(spec.optional for spec in outputs):
        raise ValueError("not a contract: an output is optional")
    labels = value.get("labels")
    if not isinstance(labels, list) or not all(isinstance(word, str) for word in labels):
        raise ValueError("not a contract: labels is no list of words")
    sizes = value.get("sizes", {})
    if not isinstance(sizes, dict):
        raise ValueError("not a contract: sizes is no object of JSON")
    limits = {word: _limits(word, entry) for word, entry in sizes.items()}
    return Contract(inputs, outputs, tuple(labels), limits)


def _tensors(contract: dict[str, Any], side: str) -> tuple[TensorSpec, ...]:
    entries = contract.get(side)
    specs = [_tensor(entry) for entry in entries] if isinstance(entries, list) else []
    if not specs or None in specs:
        raise ValueError(f"not a contract: {side} is no list of tensors with their axes")
    return tuple(spec for spec in specs if spec is not None)


def _tensor(entry: Any) -> TensorSpec | None:
    """Return one tensor of a contract; None if `entry` is none."""
    if not isinstance(entry, dict) or not isinstance(entry.get("axes"), list):
        return None
    name, dtype, meaning = (entry.get(key) for key in ("name", "dtype", "meaning"))
    axes, optional = entry["axes"], entry.get("optional", False)
    if not isinstance(name, str) or not name or not isinstance(meaning, str):
        return None
    if dtype not in DTYPES or not isinstance(optional, bool):
        return None
    if not all(axis if isinstance(axis, str) else _is_count(axis, 1) for axis in axes):
        return None
    ends = entry.get("minimum"), entry.get("maximum")
    if not all(end is None or _is_number(end) for end in ends):
        return None
    return TensorSpec(name, dtype, tuple(axes), meaning, optional, _bounds(np.dtype(dtype), *ends))


def _bounds(dtype: np.dtype[Any], minimum: float | None, maximum: float | None) -> Bounds | None:
    """Return the bounds of a tensor's values; None if its dtype has no others."""
    if dtype.kind == "f":
        least, most = -math.inf, math.inf
    else:
        least, most = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low = -math.inf if minimum is None else float(minimum)
    high = math.inf if maximum is None else float(maximum)
    if low <= least and high >= most:
        return None
    words = f"{_written(low)} to {_written(high)}"
    if math.inf in (-low, high):
        words = f"{_written(low)} or more" if high == math.inf else f"{_written(high)} or less"
    elif low == high:
        words = _written(low)
    return Bounds(_nearest(dtype, low), _nearest(dtype, high), words)


def _nearest(dtype: np.dtype[Any], value: float) -> float:
    """Return a number as a dtype with fractions holds it; for any other dtype unchanged."""
    with np.errstate(over="ignore"):
        return float(dtype.type(value)) if dtype.kind == "f" else value


def _written(value: float) -> str:
    """Return a number to its last bit, a whole one without a fraction."""
    return repr(value).removesuffix(".0")


def _limits(word: str, entry: Any) -> Limits:
    if isinstance(entry, dict):
        minimum, maximum = entry.get("minimum", 1), entry.get("maximum")
        if _is_count(minimum, 0) and (maximum is None or _is_count(maximum, minimum)):
            return Limits(minimum, maximum)
    raise ValueError(f"not a contract: the limits of {word} are no sizes")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least

"""--json: a call on each line of stdin, its answer on the same line of stdout; mirrors lines.cpp.

A call is an object with the inputs by name, as nested lists; a scalar is a number, and what is
null or not there is absent. Of axes that an empty list hides, those that the contract fixes
have their size, and free ones the least that is allowed. JSON has no NaN and no infinity: no
call can hold them, and in an answer they are null; `--tensors` takes and gives them.
"""

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from contract import Contract, TensorSpec, unlike
from runtime import CONTRACT, RUNNER, Array, Model, RunError
from wording import json_outputs


_LEAST, _MOST = -(2**63), 2**64 - 1  # whole numbers of 64 bits, with a sign or without
_MAX_AXES = 64  # as numpy has them; `_flatten` calls itself for each


def answer_lines(model: Model, lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yield for each of `lines` a line of JSON, and "" or why it could not be answered."""
    for number, line in enumerate(_read(lines), 1):
        try:
            answers = model.answer(_inputs(model.contract, line))
            yield json_outputs(model.contract, answers), ""
        except RunError as error:
            reason = f"line {number}: {error}"
            yield json.dumps({"error": reason}), reason


def _read(lines: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from lines
    except OSError as error:
        raise RunError(RUNNER, "cannot read the calls on stdin") from error


def _inputs(contract: Contract, line: bytes) -> list[Array | None]:
    """Return the tensors on a line, in the contract's order."""
    try:
        call = _parsed(line)
        if isinstance(call, dict):
            "".join(call).encode()  # half a surrogate is no character, and cannot be printed
    except (ValueError, RecursionError):
        call = None
    try:
        return _tensors(contract, call)
    except RunError as error:
        if _beyond(call):  # whatever else is wrong, as in C++ it is found while the line is read
            raise RunError(CONTRACT, "a number is beyond float64") from error
        raise


def _parsed(line: bytes) -> Any:
    """Return what a line of JSON says.

    Raises:
        ValueError: If it is no JSON.
    """
    try:
        return json.loads(line, parse_constant=_no_json)
    except ValueError:  # also of thousands of digits, which Python makes no whole number of
        return json.loads(line, parse_constant=_no_json, parse_int=float)


def _no_json(word: str) -> None:
    """Refuse the words NaN, Infinity and -Infinity, which Python's json lets pass.

    Raises:
        ValueError: Always.
    """
    raise ValueError(word)


def _beyond(value: Any) -> bool:
    """Return whether a number in nested lists or objects is larger than any float64."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list | dict):
            waiting.extend(one.values() if isinstance(one, dict) else one)
            continue
        try:
            if isinstance(one, int | float) and math.isinf(float(one)):
                return True
        except OverflowError:
            return True
    return False


def _tensors(contract: Contract, call: Any) -> list[Array | None]:
    if not isinstance(call, dict):
        raise RunError(CONTRACT, "not an object of JSON")
    names = [spec.name for spec in contract.inputs]
    foreign = [name for name in call if name not in names]
    if foreign:
        reason = f"{foreign[0]} is no input, the contract has {', '.join(names)}"
        raise RunError(CONTRACT, reason)
    return [
        None if call.get(spec.name) is None else _tensor(contract, spec, call[spec.name])
        for spec in contract.inputs
    ]


def _tensor(contract: Contract, spec: TensorSpec, value: Any) -> Array:
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
        if len(shape) > _MAX_AXES:
            raise RunError(CONTRACT, f"{spec.name} is no regular list of numbers")
    leaves: list[Any] = []
    if not _flatten(value, shape, leaves):
        raise RunError(CONTRACT, f"{spec.name} is no regular list of numbers")
    if not leaves and 0 in shape:
        shape += [contract.limits(axis).minimum for axis in spec.axes[len(shape) :]]
    tensor = _array(spec, leaves)
    if len(shape) != len(spec.axes):  # of which numpy may have too many
        raise unlike(spec, spec.dtype, shape)
    return tensor.reshape(shape)


def _array(spec: TensorSpec, leaves: list[Any]) -> Array:
    """Return N numbers, or truths, as the dtype of `spec` has them: (N,)."""
    kinds: dict[str, set[type]] = {"b": {bool}, "f": {int, float}}
    allowed = kinds.get(np.dtype(spec.dtype).kind, {int})
    foreign = f"{spec.name} holds a value that is no {spec.dtype}"
    beyond = f"{spec.name} holds a number beyond {spec.dtype}"
    if not set(map(type, leaves)) <= allowed:
        raise RunError(CONTRACT, foreign)
    try:
        with np.errstate(over="ignore"):
            array = np.array(leaves, spec.dtype)
    except OverflowError as error:  # in C++ what has more than 64 bits is read as a fraction
        fits = float in allowed or all(_LEAST <= leaf <= _MOST for leaf in leaves)
        raise RunError(CONTRACT, beyond if fits else foreign) from error
    if not np.isfinite(array).all():
        raise RunError(CONTRACT, beyond)
    return array


def _flatten(value: Any, shape: list[int], leaves: list[Any], depth: int = 0) -> bool:
    """Add the innermost values of nested lists to `leaves`; False if their lengths differ."""
    if depth == len(shape):
        leaves.append(value)
        return not isinstance(value, list)
    if not isinstance(value, list) or len(value) != shape[depth]:
        return False
    return all([_flatten(part, shape, leaves, depth + 1) for part in value])

"""--json: a call on each line of stdin, its answer on the same line of stdout; mirrors lines.cpp.

A call is an object with the inputs by name, as nested lists; a scalar is a number, and what is
null or not there is absent. Of axes that an empty list hides, those that the contract fixes
have their size, and free ones the least that is allowed.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from contract import Contract, TensorSpec
from runtime import CONTRACT, Array, Model, RunError
from wording import json_outputs


def answer_lines(model: Model, lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Yield for each of `lines` a line of JSON, and "" or why it could not be answered."""
    for number, line in enumerate(lines, 1):
        try:
            answers = model.answer(_inputs(model.contract, line))
            yield json_outputs(model.contract, answers), ""
        except RunError as error:
            reason = f"line {number}: {error}"
            yield json.dumps({"error": reason}), reason


def _inputs(contract: Contract, line: bytes) -> list[Array | None]:
    """Return the tensors on a line, in the contract's order."""
    try:
        call = json.loads(line, parse_constant=str)  # NaN, which JSON does not have, is no number
    except (ValueError, RecursionError):
        call = None
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
    leaves: list[Any] = []
    if not _flatten(value, shape, leaves):
        raise RunError(CONTRACT, f"{spec.name} is no regular list of numbers")
    if not leaves and 0 in shape:
        shape += [contract.limits(axis).minimum for axis in spec.axes[len(shape) :]]
    kinds: dict[str, set[type]] = {"b": {bool}, "f": {int, float}}
    allowed = kinds.get(np.dtype(spec.dtype).kind, {int})
    if not set(map(type, leaves)) <= allowed:
        raise RunError(CONTRACT, f"{spec.name} holds a value that is no {spec.dtype}")
    try:
        with np.errstate(over="ignore"):
            tensor = np.array(leaves, spec.dtype).reshape(shape)
    except OverflowError:
        tensor = None
    if tensor is None or not np.isfinite(tensor).all():
        raise RunError(CONTRACT, f"{spec.name} holds a number beyond {spec.dtype}")
    return tensor


def _flatten(value: Any, shape: list[int], leaves: list[Any], depth: int = 0) -> bool:
    """Add the innermost values of nested lists to `leaves`; False if their lengths differ."""
    if depth == len(shape):
        leaves.append(value)
        return not isinstance(value, list)
    if not isinstance(value, list) or len(value) != shape[depth]:
        return False
    return all([_flatten(part, shape, leaves, depth + 1) for part in value])

"""How an answer is said: as a line for people, and as a line of JSON; mirrors wording.cpp."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from contract import Contract
from runtime import CONTRACT, Array, RunError

# What the meaning of the first output makes of the best of its numbers, a probability in [0, 1].
# The last one is what crates said before there were words for it.
_PROBABILITIES: dict[str, Callable[[Array], float]] = {
    "probabilities": lambda row: float(_largest(row)),
    "log-probabilities": lambda row: _exp(_largest(row)),
    "logits": lambda row: _share(row.astype(np.float64)),
    "natural logarithms of probabilities": lambda row: _exp(_largest(row)),
}
_FEW = 10  # numbers that a line for people shows; of more it shows the shape


def _largest(row: Array) -> Any:
    return row[row.argmax()]  # NaN if there is one, as of `max`, in a third of its time


def _exp(value: Any) -> float:
    try:
        return math.exp(value)
    except OverflowError:  # it is the logarithm of no probability
        return math.inf


def _share(row: Array) -> float:
    """Return what softmax makes of the largest of `row`; NaN where there are infinities."""
    with np.errstate(invalid="ignore"):
        return 1 / float(np.exp(row - row.max()).sum())


def label_of(contract: Contract, answer: Array) -> str | None:
    """Return the label of the best of `answer`, the first output for one image.

    Returns:
        None if the contract has no labels, or there is not one number for each of them alone.

    Raises:
        RunError: If the last axis has another size than the contract has labels.
    """
    if not contract.labels:
        return None
    if not answer.ndim or answer.shape[-1] != len(contract.labels):
        raise RunError(CONTRACT, "the model does not answer with one number for each label")
    return contract.labels[int(answer.argmax())] if answer.ndim == 1 else None


def line(contract: Contract, path: str, answers: Sequence[Array]) -> str:
    """Return what is said to people of the image at `path`, for which the outputs are `answers`."""
    label = label_of(contract, answers[0])
    if label is None:
        named = zip(contract.outputs, answers, strict=True)
        said = ", ".join([f"{spec.name} {_brief(answer)}" for spec, answer in named])
        return f"{said}  {path}"
    probability = _PROBABILITIES.get(contract.outputs[0].meaning)
    if probability is None:
        return f"Image is a {label}  {path}"
    return f"Image is a {label} ({100 * probability(answers[0]):.1f} %)  {path}"


def json_line(contract: Contract, path: str, answers: Sequence[Array]) -> str:
    """Return the same as JSON: path, label if there is one, and every output by name."""
    label = label_of(contract, answers[0])
    said = f'{{"path": {json.dumps(path)}'
    if label is not None:
        said += f', "label": {json.dumps(label)}'
    return said + "".join([f", {part}" for part in _named(contract, answers)]) + "}"


def json_outputs(contract: Contract, answers: Sequence[Array]) -> str:
    """Return a JSON object with every output by name."""
    return "{" + ", ".join(_named(contract, answers)) + "}"


def _named(contract: Contract, answers: Sequence[Array]) -> list[str]:
    named = zip(contract.outputs, answers, strict=True)
    return [f"{json.dumps(spec.name)}: {numbers(answer)}" for spec, answer in named]


def numbers(array: Array) -> str:
    """Return `array` as nested lists of JSON; what is no finite number is null."""
    if array.dtype.kind == "f":
        finite = np.isfinite(array)
        if finite.all():
            return repr(array.tolist())  # as json.dumps has it, in half the time
        array = array.astype(object)
        array[~finite] = None
    return json.dumps(array.tolist())


def _brief(answer: Any) -> str:
    """Return few numbers as they are, six digits each, and of many the dtype and shape."""
    if answer.size > _FEW:
        return f"{answer.dtype}({', '.join(map(str, answer.shape))})"
    return _nested(answer.tolist())


def _nested(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_nested, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)

"""How an answer is said: as a line for people, and as a line of JSON; mirrors wording.cpp."""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from contract import Contract
from runtime import CONTRACT, Array, RunError


def _shares(best: Array, rows: Array) -> list[float]:
    """Return what softmax makes of the largest of each row; NaN where there are infinities."""
    with np.errstate(invalid="ignore"):
        wide = rows.astype(np.float64) - best.astype(np.float64)[:, None]
        shares: list[float] = (1 / np.exp(wide).sum(1)).tolist()
    return shares


def _exps(best: Array, _: Array) -> list[float]:
    return [_exp(value) for value in best.tolist()]


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:  # it is the logarithm of no probability
        return math.inf


# What the meaning of the first output makes of the best of its numbers, probabilities in [0, 1].
# The last one is what crates said before there were words for it.
_PROBABILITIES: dict[str, Callable[[Array, Array], list[float]]] = {
    "probabilities": lambda best, _: best.tolist(),
    "log-probabilities": _exps,
    "logits": _shares,
    "natural logarithms of probabilities": _exps,
}
_FEW = 10  # numbers that a line for people shows; of more it shows the shape


def lines(contract: Contract, paths: Sequence[str], answers: Sequence[Array]) -> list[str]:
    """Return what is said to people of the images at `paths`.

    Args:
        contract: Of the model.
        paths: Of N images.
        answers: Each output for them, (N, ...).

    Raises:
        RunError: If the first output has another size than the contract has labels.
    """
    best = _best(contract, answers[0])
    if best is None:
        named = [
            [f"{spec.name} {_brief(one)}" for one in answer]
            for spec, answer in zip(contract.outputs, answers, strict=True)
        ]
        return [f"{', '.join(said)}  {path}" for path, *said in zip(paths, *named, strict=True)]
    labels = [contract.labels[index] for index in best.tolist()]
    probabilities = _PROBABILITIES.get(contract.outputs[0].meaning)
    if probabilities is None:
        both = zip(paths, labels, strict=True)
        return [f"Image is a {label}  {path}" for path, label in both]
    values = answers[0][np.arange(len(best)), best]
    all_ = zip(paths, labels, probabilities(values, answers[0]), strict=True)
    return [f"Image is a {label} ({100 * value:.1f} %)  {path}" for path, label, value in all_]


def json_lines(contract: Contract, paths: Sequence[str], answers: Sequence[Array]) -> list[str]:
    """Return the same as JSON: path, label if there is one, and every output by name."""
    best = _best(contract, answers[0])
    columns = [[f'"path": {json.dumps(path)}' for path in paths]]
    if best is not None:
        labels = [f'"label": {json.dumps(label)}' for label in contract.labels]
        columns.append([labels[index] for index in best.tolist()])
    for spec, answer in zip(contract.outputs, answers, strict=True):
        name = json.dumps(spec.name)
        columns.append([f"{name}: {said}" for said in _numbers(answer)])
    return [f"{{{', '.join(row)}}}" for row in zip(*columns, strict=True)]


def _best(contract: Contract, answer: Array) -> Array | None:
    """Return the index of the best label for each of `answer`, the first output, (N, ...).

    Returns:
        None if the contract has no labels, or there is not one number for each of them alone.

    Raises:
        RunError: If the last axis has another size than the contract has labels.
    """
    if not contract.labels:
        return None
    if answer.ndim < 2 or answer.shape[-1] != len(contract.labels):
        raise RunError(CONTRACT, "the model does not answer with one number for each label")
    return answer.argmax(1) if answer.ndim == 2 else None


def json_outputs(contract: Contract, answers: Sequence[Array]) -> str:
    """Return a JSON object with every output by name."""
    named = zip(contract.outputs, answers, strict=True)
    said = [f"{json.dumps(spec.name)}: {_numbers(answer[None])[0]}" for spec, answer in named]
    return f"{{{', '.join(said)}}}"


def _numbers(answer: Array) -> list[str]:
    """Return each of `answer` as nested lists of JSON; what is no finite number is null."""
    say: Callable[[Any], str] = json.dumps
    if answer.dtype.kind == "f":
        finite = np.isfinite(answer)
        if finite.all():
            say = repr  # as json.dumps has it, in half the time
        else:
            answer = answer.astype(object)
            answer[~finite] = None
    return [say(one) for one in answer.tolist()]


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

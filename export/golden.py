"""Golden vectors: inputs with the answers that every runtime on every machine must give."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy

from torchcrate.errors import ExportError
from torchcrate.model.spec import Cases

LIMIT_BYTES = 2_000_000  # a crate is pulled often


def golden(
    cases: Cases,
    answers: Mapping[str, Mapping[str, Any]],
    limits: Mapping[str, float],
    *,
    chosen: bool,
) -> bytes:
    """Return golden.safetensors: for each case `CASE.NAME` of every input and output.

    The file's metadata holds one entry, `limits`: JSON of the largest allowed difference
    |got - want| / (1 + |want|) for each runtime, and for "cuda".

    Args:
        cases: The inputs.
        answers: The network's own answers to them, by case and output.
        limits: By runtime.
        chosen: Whether the cases were chosen to travel, all of them; otherwise the smallest
            do, as many as fit, and one at least.

    Raises:
        ExportError: If chosen ones are larger than `LIMIT_BYTES`.
    """
    sizes = {case: _size(inputs) + _size(answers[case]) for case, inputs in cases.items()}
    total = 0
    tensors: dict[str, Any] = {}
    for case in cases if chosen else sorted(cases, key=lambda case: sizes[case]):
        total += sizes[case]
        if not chosen and tensors and total > LIMIT_BYTES:
            break
        for name, value in {**cases[case], **answers[case]}.items():
            tensors[f"{case}.{name}"] = np.array(value, order="C")  # of a scalar, too
    if chosen and total > LIMIT_BYTES:
        raise ExportError(
            f"the golden vectors take {total} bytes, the limit is {LIMIT_BYTES}: "
            "let the network answer with less"
        )
    return safetensors.numpy.save(tensors, {"limits": json.dumps(dict(limits))})


def _size(tensors: Mapping[str, Any]) -> int:
    return sum(np.asarray(value).nbytes for value in tensors.values())

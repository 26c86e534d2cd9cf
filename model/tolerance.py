"""How far an answer may be from eager's, and how far it is. Needs numpy and no torch."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchcrate.errors import ParityError
from torchcrate.model.spec import CUDA, RUNTIMES, ModelSpec

# For the runtimes that share eager's kernels, and for ONNX Runtime, which has its own and adds in
# another order: where a network computes with float32 and float64, and by narrower floats in it.
_WIDE = (1e-5, 1e-4)
_NARROW = {"float16": (5e-3, 1e-2), "bfloat16": (2e-2, 5e-2)}


def tolerances(spec: ModelSpec, dtypes: Iterable[str]) -> dict[str, float]:
    """Return for each runtime the largest difference it may show to eager, and for "cuda".

    On a card every runtime has other kernels than eager on the CPU: each may be as far off there
    as the one that is allowed most here.

    Args:
        spec: Its own tolerances go before all.
        dtypes: Of parameters, buffers, inputs and outputs.
    """
    found = set(dtypes)
    narrow = [allowed for dtype, allowed in _NARROW.items() if dtype in found]
    kernels, onnx = max(narrow, default=_WIDE)
    limits = {
        runtime: spec.tolerances.get(runtime, onnx if runtime == "onnx" else kernels)
        for runtime in RUNTIMES
    }
    return {**limits, CUDA: spec.tolerances.get(CUDA, max(limits.values()))}


def difference(got: NDArray[Any], want: NDArray[Any]) -> NDArray[np.float64]:
    """Return |got - want| / (1 + |want|), element by element.

    0 where both are the same infinity; else NaN where either is not finite.

    Log-probabilities reach -81, where one float32 step is 7.6e-6; hence the denominator.

    Raises:
        ParityError: If the dtypes or the shapes differ; there is nothing to measure then.
    """
    if got.dtype != want.dtype:
        raise ParityError(f"answers are {got.dtype}, not {want.dtype}")
    if got.shape != want.shape:
        raise ParityError(f"answers have shape {got.shape}, not {want.shape}")
    one, other = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(one - other) / (1 + np.abs(other))
    finite = np.isfinite(one) & np.isfinite(other)
    return np.where(one == other, 0.0, np.where(finite, off, np.nan))


def spread(answers: Iterable[Mapping[str, NDArray[Any]]]) -> float:
    """Return how much the answers to different inputs differ, on the scale of `difference`.

    It is the largest |one - other| / (1 + |other|) at one place between answers of one shape, or
    between the rows of one answer: a tolerance that is not smaller lets any answer pass.

    Args:
        answers: For each input the outputs by name.
    """
    least: dict[tuple[str, tuple[int, ...]], NDArray[np.float64]] = {}
    most: dict[tuple[str, tuple[int, ...]], NDArray[np.float64]] = {}
    for each in answers:
        for name, answer in each.items():
            rows = answer.astype(np.float64)
            for row in rows if rows.ndim else rows[None]:
                place = (name, row.shape)
                row = np.where(np.isfinite(row), row, 0.0)
                least[place] = np.minimum(least.get(place, row), row)
                most[place] = np.maximum(most.get(place, row), row)
    return max(
        (
            float(((most[place] - low) / (1 + np.abs(low))).max(initial=0.0))
            for place, low in least.items()
        ),
        default=0.0,
    )

"""Inputs unlike those that a network is judged with: for code that decides by what it is given."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchcrate.model.cases import example, one, sizes_in
from torchcrate.model.contract import Contract, TensorSpec

_SEEDS = 12


def unlike(contract: Contract) -> Iterator[tuple[str, dict[str, NDArray[Any]]]]:
    """Yield cases of the example's sizes: nothing but one value, signs turned, large and small.

    All are within the ranges of the contract, so that an export that is off at one is wrong.
    """
    base = example(contract)
    for value in (0.0, 1.0, -1.0, 10.0, -10.0, 100.0):
        yield (
            f"inputs of {value:g} alone",
            {
                given.name: _fit(given, np.full(base[given.name].shape, value))
                for given in contract.inputs
            },
        )
    sizes = sizes_in(contract, base)
    for seed in range(_SEEDS):
        drawn = one(contract, sizes, seed)
        for factor in (1.0, -1.0, 30.0, -30.0):
            yield (
                f"random inputs times {factor:g}",
                {
                    given.name: _fit(given, drawn[given.name].astype(np.float64) * factor)
                    for given in contract.inputs
                },
            )


def _fit(given: TensorSpec, values: NDArray[Any]) -> NDArray[Any]:
    """Return values within the range of an input and of its dtype."""
    dtype = np.dtype(given.dtype)
    if dtype.kind == "b":
        return np.asarray(values > 0)
    low, high = given.minimum, given.maximum
    if dtype.kind in "iu":
        # Without a range an integer may be an index: what `model.cases` draws is safe alone.
        low = 0 if low is None else low
        high = (255 if dtype == np.uint8 else low + 1) if high is None else high
    return np.asarray(np.clip(values, low, high)).astype(dtype)

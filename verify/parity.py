"""Answers held against eager's: pure functions, and the rule of what may differ."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from torchcrate.errors import ParityError
from torchcrate.verify.report import Parity

Answers = NDArray[np.float32]

# The runtimes that compute with eager's own kernels: no digit may differ where batch and
# threads are the reference's. Elsewhere, and for all others, the spec's limit holds.
EXACT = frozenset({"eager", "torchscript", "libtorch"})


def allowed(runtime: str, way: str, limits: Mapping[str, float]) -> float:
    """Return the largest difference that `runtime` may show when asked in this way."""
    return 0.0 if runtime in EXACT and way == "tensors" else limits[runtime]


def difference(got: Answers, want: Answers) -> NDArray[np.float64]:
    """Return |got - want| / (1 + |want|), element by element; NaN where either is not finite.

    Log-probabilities reach -81, where one float32 step is 7.6e-6; hence the denominator.

    Raises:
        ParityError: If the shapes differ; there is nothing to measure then.
    """
    if got.shape != want.shape:
        raise ParityError(f"answers have shape {got.shape}, not {want.shape}")
    wide = want.astype(np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(got.astype(np.float64) - wide) / (1 + np.abs(wide))
    return np.where(np.isfinite(got) & np.isfinite(want), off, np.nan)


def margins(want: Answers) -> NDArray[np.float64]:
    """Return how far the best label lies before the second, (N,) for `want` (N, C)."""
    ordered = np.sort(want.astype(np.float64), axis=1)
    return ordered[:, -1] - ordered[:, -2]


def compare(
    runtime: str,
    way: str,
    limit: float,
    want: Mapping[str, Answers],
    got: Mapping[str, Answers],
) -> tuple[Parity, tuple[str, ...]]:
    """Compare one runtime's answers with the reference's over all cases.

    Args:
        runtime: Its name.
        way: "tensors" or "images".
        limit: The largest difference allowed.
        want: Eager's answers by case, each (N, C).
        got: The runtime's, for the same cases.

    Returns:
        The figures, and one line for each case that is off, naming runtime, case and figure.
    """
    failures, worst, where = [], 0.0, next(iter(want))
    parts, flips, forgiving = [], 0, 0.0
    for case, wanted in want.items():
        try:
            off = difference(got[case], wanted) if case in got else None
        except ParityError as error:
            failures.append(f"{runtime} at {case}: {error}")
            continue
        if off is None:
            failures.append(f"{runtime} at {case}: no answer")
            continue
        most = float(off.max()) if off.size else 0.0
        other = got[case].argmax(1) != wanted.argmax(1)
        flipped = other & (margins(wanted) > limit)
        flips += int(flipped.sum())
        # Labels that differ are a tie, and pass, where the limit is no less than the margin.
        forgiving = float(margins(wanted)[other].max(initial=forgiving))
        parts.append(off.ravel())
        if not math.isnan(worst) and not most <= worst:  # NaN is worse than any number
            worst, where = most, case
        if not most <= limit:
            failures.append(f"{runtime} at {case}: difference {most:.1e}, limit {limit:.1e}")
        if flipped.any():
            failures.append(f"{runtime} at {case}: {int(flipped.sum())} labels flipped")
    every = np.concatenate(parts) if parts else np.array([np.nan])
    finite = bool(np.isfinite(every).all()) and len(parts) == len(want)
    return (
        Parity(
            runtime=runtime,
            way=way,
            inputs=len(want),
            images=sum(len(wanted) for wanted in want.values()),
            limit=limit,
            maximum=float(every.max()) if finite else None,
            p999=float(np.quantile(every, 0.999)) if finite else None,
            flips=flips,
            margin=float(min(margins(wanted).min() for wanted in want.values())),
            needed=float(max(every.max(), forgiving)) if finite else None,
            worst=where,
            passed=not failures,
        ),
        tuple(failures),
    )

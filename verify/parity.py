"""Answers held against eager's: pure functions, and the rule of what may differ."""

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchcrate.errors import ParityError
from torchcrate.model.contract import Contract
from torchcrate.model.spec import Answers
from torchcrate.model.tolerance import difference
from torchcrate.verify.report import Parity


def allowed(
    runtime: str,
    way: str,
    limits: Mapping[str, float],
    exact: Collection[str] = (),
    device: str = "cpu",
) -> float:
    """Return the largest difference that `runtime` may show when asked in this way.

    Where batch, threads and device are the reference's, the `exact` ones may show none.
    """
    if device != "cpu":
        return limits[device]
    return 0.0 if runtime in exact and way == "tensors" else limits[runtime]


def margins(want: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far the best label lies before the second, (...) for `want` (..., C)."""
    if want.shape[-1] < 2:
        return np.full(want.shape[:-1], np.inf)
    ordered = np.sort(want.astype(np.float64), axis=-1)
    return np.asarray(ordered[..., -1] - ordered[..., -2])


def compare(
    runtime: str,
    way: str,
    limit: float,
    want: Mapping[str, Answers],
    got: Mapping[str, Answers],
    contract: Contract,
) -> tuple[Parity, tuple[str, ...]]:
    """Compare one runtime's answers with the reference's over all cases.

    Args:
        runtime: Its name.
        way: "tensors" or "images".
        limit: The largest difference allowed.
        want: Eager's answers by case and output.
        got: The runtime's, for the same cases.
        contract: Whose first output has labels, if there are any.

    Returns:
        The figures, and one line for each case that is off, naming runtime, case and figure.
    """
    failures, worst, where = [], 0.0, next(iter(want))
    parts, flips, forgiving, margin = [], 0, 0.0, math.inf
    labelled = contract.outputs[0].name if contract.labels else None
    for case, wanted in want.items():
        for name, answer in wanted.items():
            at = case if len(wanted) == 1 else f"{case}, {name}"
            off, problem = _difference(got.get(case, {}).get(name), answer)
            if name == labelled:
                margin = float(margins(answer).min(initial=margin))
            if off is None:
                failures.append(f"{runtime} at {at}: {problem}")
                continue
            most = float(off.max()) if off.size else 0.0
            parts.append(off.ravel())
            if not math.isnan(worst) and not most <= worst:  # NaN is worse than any number
                worst, where = most, at
            if not most <= limit:
                failures.append(f"{runtime} at {at}: difference {most:.1e}, limit {limit:.1e}")
            if name != labelled or not answer.size:
                continue
            other = got[case][name].argmax(-1) != answer.argmax(-1)
            flipped = int((other & (margins(answer) > limit)).sum())
            flips += flipped
            # Labels that differ are a tie, and pass, where the limit is no less than the margin.
            forgiving = float(margins(answer)[other].max(initial=forgiving))
            if flipped:
                failures.append(f"{runtime} at {at}: {flipped} labels flipped")
    every = np.concatenate(parts) if parts else np.array([np.nan])
    count = sum(len(wanted) for wanted in want.values())
    finite = bool(np.isfinite(every).all()) and len(parts) == count
    return (
        Parity(
            runtime=runtime,
            way=way,
            inputs=len(want),
            images=sum(_entries(wanted, contract) for wanted in want.values()),
            limit=limit,
            maximum=float(every.max(initial=0.0)) if finite else None,
            p999=float(np.quantile(every, 0.999)) if finite and every.size else None,
            flips=flips,
            margin=None if math.isinf(margin) else margin,
            needed=float(max(every.max(initial=0.0), forgiving)) if finite else None,
            worst=where,
            passed=not failures,
        ),
        tuple(failures),
    )


def _difference(
    got: NDArray[Any] | None, want: NDArray[Any]
) -> tuple[NDArray[np.float64] | None, str]:
    """Return the differences, or None and why there are none."""
    if got is None:
        return None, "no answer"
    try:
        return difference(got, want), ""
    except ParityError as error:
        return None, str(error)


def _entries(answers: Answers, contract: Contract) -> int:
    """Return how many entries of a batch one call had; 1 if there is no batch."""
    first = contract.outputs[0]
    batched = bool(first.axes) and isinstance(first.axes[0], str)
    return len(answers[first.name]) if batched else 1

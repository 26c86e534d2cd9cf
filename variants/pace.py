"""Warm calls of the variants raced against those of model.onnx, one entry and many at once."""

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from torchcrate.bench.race import Contestant, Rules, race, ratios
from torchcrate.bench.results import Lane
from torchcrate.bench.subject import Subject, batch_axis, batch_case
from torchcrate.bench.worker import working
from torchcrate.errors import RunnerError
from torchcrate.model.contract import Contract
from torchcrate.verify.figures import Pace

_MANY = 64  # entries of a large batch, fewer if they take longer than that
_LONGEST = 1.0  # second of one call
_TURN = 0.2  # seconds of all calls of one turn
_CALLS = 200  # of one turn at most

_MODEL = "onnx"


def paces(
    subject: Subject,
    names: Sequence[str],
    rules: Rules,
    scratch: Path,
    on_step: Callable[[str], None],
) -> dict[str, tuple[Pace, ...]]:
    """Race model.onnx and its variants at each size of batch.

    Args:
        subject: A crate that holds the variants, `model.NAME.onnx`.
        names: Theirs.
        rules: Of each race.
        scratch: A folder for the inputs.
        on_step: Called with a word before each race.

    Returns:
        By name what was found, model.onnx being "", at every size; nothing for one that failed at
        one of them, or without variants to race.

    Raises:
        RunnerError: If model.onnx itself fails.
    """
    found: dict[str, tuple[Pace, ...]] = {"": ()}
    once = 0.0
    for batch in _batches(subject.contract) if names else ():
        if batch is not None and once:
            while batch > 2 and batch * once > _LONGEST:
                batch //= 2
        on_step("race" if batch is None else f"race, batch {batch}")
        once, lanes = _race(subject, names, batch, rules, scratch)
        for name, lane in zip(("", *names), lanes, strict=True):
            found[name] = (*found.get(name, ()), *_pace(lane, lanes[0], batch))
            if lane.failure:
                on_step(f"{name} at batch {batch}: {lane.failure}")
    return {name: each for name, each in found.items() if len(each) == len(found[""])}


def faster(found: Sequence[Pace]) -> str:
    """Return why a variant is not faster, "" if it is: three rounds of four, at each size."""
    if not found:
        return "it was not raced, or failed in one of the races"
    slow = [pace for pace in found if not pace.high < 1]
    if not slow:
        return ""
    worst = max(slow, key=lambda pace: pace.high)
    at = "" if worst.batch is None else f" at batch {worst.batch}"
    return f"not faster here: {worst.low:.2f} to {worst.high:.2f} of the time{at}"


def _batches(contract: Contract) -> list[int | None]:
    axis = batch_axis(contract)
    if axis is None:
        return [None]
    sizes = contract.sizes_of(axis)
    least = max(1, sizes.minimum)
    most = _MANY if sizes.maximum is None else min(_MANY, sizes.maximum)
    return [least, most] if most > least else [least]


def _race(
    subject: Subject, names: Sequence[str], batch: int | None, rules: Rules, scratch: Path
) -> tuple[float, tuple[Lane, ...]]:
    """Return the seconds of one call of model.onnx, and a lane for it and for each variant."""
    folder = scratch / f"batch-{batch}"
    folder.mkdir()
    given = batch_case(subject, batch)
    runtimes = (_MODEL, *(f"{_MODEL}-{name}" for name in names))
    with ExitStack() as stack:
        workers = [
            stack.enter_context(working(subject, runtime, folder, case=given))
            for runtime in runtimes
        ]
        once = statistics.median(workers[0].contestant(_MODEL, "answer", 3).measure().seconds)
        calls = max(1, min(_CALLS, round(_TURN / once)))
        contestants: list[Contestant] = [
            worker.contestant(runtime, "answer", calls)
            for worker, runtime in zip(workers, runtimes, strict=True)
        ]
        lanes = race(contestants, rules)
    if lanes[0].failure:
        raise RunnerError(f"model.onnx was not raced: {lanes[0].failure}")
    return once, lanes


def _pace(lane: Lane, model: Lane, batch: int | None) -> tuple[Pace, ...]:
    if lane.failure:
        return ()
    found = ratios(lane, model)
    low, middle, high = statistics.quantiles(found, n=4, method="inclusive")
    return (Pace(batch, len(found), statistics.median(lane.seconds), low, middle, high),)

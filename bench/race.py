"""Contestants take turns: each round asks all of them once, in an order drawn from a seed.

What disturbs a machine for a while disturbs all of a round, so that a ratio inside a round
says more than any time. The engine is pure: what a turn is, its callers say.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torchcrate.bench.results import Bar, Lane, Spread
from torchcrate.errors import CrateError, RunnerError


@dataclass(frozen=True)
class Sample:
    """What one turn measured; see `Lane` for each."""

    seconds: tuple[float, ...]
    cpu: float | None = None
    peak: int | None = None
    first: float | None = None


@dataclass(frozen=True)
class Contestant:
    """Somebody who can be asked again and again.

    Attributes:
        name: Of their own.
        measure: Takes one turn.
        most: In how many rounds they take part, warm-up rounds not among them, if a turn takes
            minutes.
    """

    name: str
    measure: Callable[[], Sample]
    most: int | None = None


@dataclass(frozen=True)
class Rules:
    """How often to ask: `rounds` that count after `warmup` rounds that do not."""

    rounds: int = 7
    warmup: int = 1
    seed: int = 1


def order(names: Sequence[str], rules: Rules) -> list[tuple[str, ...]]:
    """Return who takes turns in each round, warm-up rounds first, everybody once a round."""
    chance = random.Random(rules.seed)
    return [tuple(chance.sample(names, len(names))) for _ in range(rules.warmup + rules.rounds)]


def race(
    contestants: Sequence[Contestant],
    rules: Rules,
    on_turn: Callable[[str], None] = lambda name: None,
) -> tuple[Lane, ...]:
    """Let all contestants take their turns; one that fails is out, and the others go on.

    Args:
        contestants: Each with a name of its own.
        rules: How often.
        on_turn: Called with a name before each turn.

    Returns:
        A lane for each contestant, in the order given.

    Raises:
        ValueError: If two contestants have one name.
    """
    named = {each.name: each for each in contestants}
    if len(named) != len(contestants):
        raise ValueError("two contestants have one name")
    samples: dict[str, list[Sample]] = {name: [] for name in named}
    failures: dict[str, str] = {}
    for number, turns in enumerate(order(list(named), rules)):
        warming = number < rules.warmup
        for name in turns:
            most = named[name].most
            done = most is not None and (warming or len(samples[name]) == most)
            if name in failures or done:
                continue
            on_turn(name)
            try:
                sample = _sound(named[name].measure())
            except CrateError as error:
                failures[name] = str(error)
                continue
            if not warming:
                samples[name].append(sample)
    return tuple(
        Lane(name, failure=failures[name]) if name in failures else _lane(name, samples[name])
        for name in named
    )


def _sound(sample: Sample) -> Sample:
    """Refuse a measurement that is none: NaN, infinite, not positive, or of nothing."""
    bad = [each for each in sample.seconds if not (math.isfinite(each) and each > 0)]
    if bad or not sample.seconds:
        raise RunnerError(f"measured {bad[0] if bad else 'no'} seconds")
    return sample


def _lane(name: str, samples: Sequence[Sample]) -> Lane:
    return Lane(
        name,
        tuple(each.seconds for each in samples),
        tuple(each.cpu for each in samples if each.cpu is not None),
        tuple(each.peak for each in samples if each.peak is not None),
        tuple(each.first for each in samples if each.first is not None),
    )


def ratios(over: Lane, under: Lane) -> tuple[float, ...]:
    """Return how many times longer `over` took than `under`, by the medians of each round."""
    pairs = zip(over.medians, under.medians, strict=False)
    return tuple(one / other for one, other in pairs)


def judged(
    what: str,
    values: Sequence[float],
    bound: float,
    *,
    least: bool = False,
    unit: str = "x",
    note: str = "",
) -> Bar:
    """Hold the median of `values` to `bound`; no value, or one that is not finite, never passes."""
    if not values or not all(map(math.isfinite, values)):
        return Bar(what, None, bound, least, unit, False, note or "not measured")
    found = Spread.of(values)
    holds = found.median >= bound if least else found.median <= bound
    return Bar(what, found, bound, least, unit, holds, note)


def compared(
    what: str,
    lanes: Mapping[str, Lane],
    over: str,
    under: str,
    bound: float,
    *,
    least: bool = False,
    note: str = "",
) -> Bar:
    """Judge how many times longer one lane took than another; a failed one is named."""
    for name in (over, under):
        failure = lanes[name].failure if name in lanes else "it did not take part"
        if failure:
            return judged(what, (), bound, least=least, note=f"{name}: {failure}")
    return judged(what, ratios(lanes[over], lanes[under]), bound, least=least, note=note)

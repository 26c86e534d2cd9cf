"""Contestants take turns in an order drawn from a seed; what is slower is measured slower."""

import math
import time
from collections import Counter

import pytest

from torchcrate.bench.race import Contestant, Rules, Sample, compared, judged, order, race, ratios
from torchcrate.errors import RunnerError

NAMES = ("one", "two", "three")


def sleeper(name: str, seconds: float) -> Contestant:
    """Somebody whose turn takes this long, by a real clock."""

    def measure() -> Sample:
        begun = time.perf_counter()
        time.sleep(seconds)
        return Sample((time.perf_counter() - begun,))

    return Contestant(name, measure)


def constant(name: str, seconds: float) -> Contestant:
    return Contestant(name, lambda: Sample((seconds,)))


def test_everybody_has_one_turn_a_round() -> None:
    turns = order(NAMES, Rules(rounds=5, warmup=2, seed=3))

    assert len(turns) == 7
    assert all(sorted(each) == sorted(NAMES) for each in turns)


def test_the_order_is_another_in_other_rounds_and_the_same_for_the_same_seed() -> None:
    rules = Rules(rounds=200, warmup=0, seed=1)

    turns = order(NAMES, rules)

    first = Counter(each[0] for each in turns)
    assert order(NAMES, rules) == turns
    assert order(NAMES, Rules(rounds=200, warmup=0, seed=2)) != turns
    assert min(first.values()) > 40  # nobody always goes first


def test_turns_are_taken_in_the_order_of_the_rounds() -> None:
    rules, taken = Rules(rounds=3, warmup=1), list[str]()

    race([constant(name, 1.0) for name in NAMES], rules, taken.append)

    assert taken == [name for turns in order(NAMES, rules) for name in turns]


def test_who_sleeps_longer_is_measured_slower() -> None:
    lanes = race(
        [sleeper("slow", 0.3), sleeper("quick", 0.001), sleeper("middling", 0.1)],
        Rules(rounds=3),
    )

    times = {lane.name: min(lane.seconds) for lane in lanes}
    assert times["quick"] < times["middling"] < times["slow"]
    assert min(ratios(lanes[0], lanes[1])) > 1


def test_who_takes_minutes_is_raced_in_the_first_rounds_only() -> None:
    speeds = iter([2.0, 3.0])  # of a warm-up there is none
    slow = Contestant("slow", lambda: Sample((next(speeds),)), most=2)
    quick = iter([1.0, 1.0, 4.0, 1.0, 1.0])

    lanes = race([slow, Contestant("quick", lambda: Sample((next(quick),)))], Rules(4, warmup=1))

    assert [len(lane.rounds) for lane in lanes] == [2, 4]
    assert ratios(*lanes) == (2.0, 0.75)


def test_warm_up_rounds_do_not_count() -> None:
    times = iter((100.0, 100.0, 1.0, 2.0))

    (lane,) = race([Contestant("one", lambda: Sample((next(times),)))], Rules(2, warmup=2))

    assert lane.seconds == (1.0, 2.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0, -1.0])
def test_a_time_that_is_none_is_a_failure_in_one_line(bad: float) -> None:
    broken, sound = race([constant("broken", bad), constant("sound", 1.0)], Rules(3))

    assert broken.failure == f"measured {bad} seconds"
    assert broken.rounds == ()
    assert len(sound.rounds) == 3


def test_who_fails_once_is_out_and_the_others_go_on() -> None:
    times = iter((1.0, 1.0))

    def fails() -> Sample:
        seconds = next(times, None)
        if seconds is None:
            raise RunnerError("it failed: killed")
        return Sample((seconds,))

    lanes = race([Contestant("broken", fails), constant("sound", 2.0)], Rules(rounds=4))

    bar = compared("one", {lane.name: lane for lane in lanes}, "broken", "sound", 2.0)
    assert lanes[0].failure == "it failed: killed"
    assert lanes[0].rounds == ()
    assert len(lanes[1].rounds) == 4
    assert not bar.holds
    assert bar.note == "broken: it failed: killed"


def test_a_defect_is_no_failure_of_a_contestant() -> None:
    def measure() -> Sample:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        race([Contestant("one", measure)], Rules(1))


def test_a_disturbance_of_whole_rounds_leaves_the_ratio_as_it_is() -> None:
    """The machine becomes ten times slower half-way; the ratio inside each round stays 2."""
    speeds = {name: iter([1.0, 1.0, 1.0, 10.0, 10.0, 10.0]) for name in ("one", "two")}

    lanes = race(
        [
            Contestant("one", lambda: Sample((next(speeds["one"]),))),
            Contestant("two", lambda: Sample((2 * next(speeds["two"]),))),
        ],
        Rules(rounds=6, warmup=0),
    )

    assert ratios(lanes[1], lanes[0]) == (2.0,) * 6


@pytest.mark.parametrize(
    ("values", "bound", "least", "holds"),
    [
        ((1.0, 1.1, 1.2), 1.1, False, True),
        ((1.0, 1.11, 1.2), 1.1, False, False),
        ((6.0, 5.0, 4.0), 5.0, True, True),
        ((6.0, 4.9, 4.0), 5.0, True, False),
        ((), 5.0, False, False),
        ((1.0, math.nan), 5.0, False, False),
        ((math.inf, math.inf, math.inf), 5.0, True, False),
    ],
)
def test_the_median_is_held_to_the_bound_and_no_figure_never_passes(
    values: tuple[float, ...], bound: float, least: bool, holds: bool
) -> None:
    assert judged("it", values, bound, least=least).holds is holds

"""The gate: a crate's speed and size held to a budget, and to the version before it."""

import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from torchcrate.bench.files import python
from torchcrate.bench.process import process
from torchcrate.bench.race import Contestant, Rules, compared, judged, race, ratios
from torchcrate.bench.results import Bar, Lane, Part, Spread
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Subject, images, many_cases
from torchcrate.bench.words import figure, seconds
from torchcrate.bench.worker import working
from torchcrate.errors import BudgetError

GATE = "gate"
KERNEL = "reference kernel"
_MANY = 64  # entries of a large batch
_TURNS = 5  # times as many, and as short: what disturbs the machine then disturbs all alike


@dataclass(frozen=True)
class Budget:
    """What a release must keep to.

    Attributes:
        latency: The most that a warm call may take in the runtime that the crate's front door
            takes first, in units of the reference kernel of the same run: a product of two
            128 x 128 float32 matrices on one thread. None for no limit.
        size: The most bytes of all files; None for no limit.
        slower: How many times longer than the version before anything may take.
    """

    latency: float | None = None
    size: float | None = None
    slower: float = 1.25


def gate(
    subject: Subject, before: Subject | None, budget: Budget, setting: Setting, scratch: Path
) -> Part:
    """Race a crate against the version before it, if there is one, and judge both budgets.

    Args:
        subject: The crate that is to be released.
        before: The version that it is raced against.
        budget: What it must keep to.
        setting: Files, rounds and calls.
        scratch: A folder for the inputs.

    Raises:
        FolderError: If a folder cannot be written.
    """
    common = [each for each in subject.runtimes if before and each in before.runtimes]
    front = [each for each in subject.runtimes[:1] if each not in common]
    raced = [("this", subject, [*front, *common])]
    raced += [(before.title, before, common)] if before else []
    lanes = _race_warm(raced, setting, scratch)
    whole = [each for name, one, _ in raced for each in _whole(name, one, common, setting)]
    if whole:
        lanes += race(whole, setting.rules, setting.turns("gate"))
    named = {lane.name: lane for lane in lanes}
    bars = [
        *_own(subject, budget, named),
        *(_against(before, common, budget, named) if before else ()),
    ]
    settings = {"rounds": str(setting.rules.rounds), "calls a round": str(setting.calls)}
    title = f"{subject.title} against {before.title}" if before else f"{subject.title} alone"
    words = () if before else ("No version before it: nothing was raced.",)
    return Part(GATE, title, settings, lanes, tuple(bars), words=words)


def latencies(part: Part) -> dict[str, float]:
    """Return warm calls in units of the reference kernel, by the name "latency RUNTIME"."""
    named = {lane.name: lane for lane in part.lanes}
    found: dict[str, float] = {}
    for runtime in ("onnx", "torchscript", "eager"):
        warm = named.get(_warm("this", runtime))
        if warm and (values := ratios(warm, named[KERNEL])):
            found[f"latency {runtime}"] = round(statistics.median(values), 3)
    return found


def require(part: Part) -> None:
    """Let a release go on if every bar of the gate holds.

    Raises:
        BudgetError: If one does not, with both distributions.
    """
    broken = [bar for bar in part.bars if not bar.holds]
    if broken:
        bar = broken[0]
        found = figure(bar.found.median, bar.unit) if bar.found else "no figure"
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        note = f": {bar.note}" if bar.note else ""
        raise BudgetError(
            f"{bar.what} is {found}, the budget is {figure(bar.bound, bar.unit)}{more}{note}"
        )


def _race_warm(
    raced: Sequence[tuple[str, Subject, list[str]]], setting: Setting, scratch: Path
) -> tuple[Lane, ...]:
    """Race warm calls of each crate in its runtimes, one and many at once, and the kernel."""
    calls = max(1, setting.calls // _TURNS)
    rules = Rules(_TURNS * setting.rules.rounds, setting.rules.warmup, setting.rules.seed)
    contestants: list[Contestant] = []
    many = scratch / "many"
    many.mkdir(exist_ok=True)
    with ExitStack() as stack:
        for name, each, runtimes in raced:
            for runtime in runtimes:
                worker = stack.enter_context(working(each, runtime, scratch))
                contestants.append(worker.contestant(_warm(name, runtime), "answer", calls))
                if len(contestants) == 1:
                    contestants.append(worker.contestant(KERNEL, "kernel", calls))
                if len(raced) > 1 and (case := many_cases(each, _MANY)):
                    worker = stack.enter_context(working(each, runtime, many, case=case))
                    turn = worker.contestant(_batch(name, runtime), "many", max(1, calls // 10))
                    contestants.append(turn)
        return race(contestants, rules, setting.turns("gate"))


def _warm(name: str, runtime: str) -> str:
    return f"{name}: {runtime}, warm call"


def _batch(name: str, runtime: str) -> str:
    return f"{name}: {runtime}, {_MANY} at once"


def _files(name: str, runtime: str) -> str:
    return f"{name}: run_{runtime}, whole process"


def _whole(name: str, each: Subject, runtimes: list[str], setting: Setting) -> list[Contestant]:
    """Return whole processes over the same files, for crates that read images."""
    if not each.reads_images:
        return []
    read = images(each, setting.files, setting.out, setting.data_dir)
    return [
        process(_files(name, runtime), python(each, runtime, read.pattern), read.count)
        for runtime in runtimes
    ]


def _own(subject: Subject, budget: Budget, lanes: dict[str, Lane]) -> list[Bar]:
    bars = []
    if budget.size is not None:
        megabytes = [subject.size / 1e6]
        bars.append(judged("size of all files", megabytes, budget.size / 1e6, unit="MB"))
    if budget.latency is not None:
        runtime = next(iter(subject.runtimes), "Python")
        what, warm = f"latency: warm call in {runtime} / reference kernel", _warm("this", runtime)
        bars.append(compared(what, lanes, warm, KERNEL, budget.latency))
    return bars


def _against(
    before: Subject, runtimes: list[str], budget: Budget, lanes: dict[str, Lane]
) -> list[Bar]:
    """Judge how much longer this crate takes; what the one before cannot do is no fault of it."""
    bars = []
    if not runtimes:
        note = "no runtime that both have a Python program for is here: nothing was raced"
        bars.append(judged(f"this / {before.title}", (), budget.slower, note=note))
    kinds = ((_warm, "warm call"), (_batch, f"{_MANY} at once"), (_files, "whole process"))
    for runtime in runtimes:
        for kind, words in kinds:
            new, old = kind("this", runtime), kind(before.title, runtime)
            if old not in lanes:
                continue
            what = f"{runtime}, {words}: this / {before.title}"
            if lanes[old].failure and not (new in lanes and lanes[new].failure):
                why = f"{before.title} was not raced: {lanes[old].failure}"
                bars.append(Bar(what, None, budget.slower, False, "x", True, why))
                continue
            bar = compared(what, lanes, new, old, budget.slower)
            note = bar.note or f"{_lies(lanes[new])} against {_lies(lanes[old])}"
            bars.append(Bar(what, bar.found, bar.bound, False, "x", bar.holds, note))
    return bars


def _lies(lane: Lane) -> str:
    """Return how a distribution lies, in words."""
    lies = Spread.of(lane.seconds)
    return f"{seconds(lies.median)} (10 % to 90 %: {seconds(lies.low)} to {seconds(lies.high)})"

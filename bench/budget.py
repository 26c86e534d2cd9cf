"""The gate: a crate's speed and size held to a budget, and to the version before it."""

import shutil
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torchcrate.bench.process import process
from torchcrate.bench.question import Question, python, question, shipped
from torchcrate.bench.race import Contestant, Rules, Sample, compared, judged, race, ratios
from torchcrate.bench.results import Bar, Lane, Part, Spread
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Subject, many_cases
from torchcrate.bench.words import figure, seconds
from torchcrate.bench.worker import working
from torchcrate.errors import BudgetError, RunnerError

GATE = "gate"
KERNEL = "reference kernel"
_MANY = 64  # entries of a large batch
_CPP = "libtorch"

_Raced = tuple[str, Subject, list[str]]  # its name, a crate, and runtimes whose calls are raced


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

    Where both have C++ sources they are built, so that the C++ programs are raced too. What is
    over the budget may be so by the machine's doing: all race once more, in twice as many rounds,
    and are judged over both.

    Args:
        subject: The crate that is to be released.
        before: The version that it is raced against.
        budget: What it must keep to.
        setting: Files, rounds and calls, and where C++ is built.
        scratch: A folder for the inputs.

    Raises:
        FolderError: If a folder cannot be written.
    """
    common = [each for each in subject.runtimes if before and each in before.runtimes]
    front = [each for each in subject.runtimes[:1] if each not in common]
    raced = [("this", subject, [*front, *common])]
    raced += [(before.title, before, common)] if before else []
    words = [] if before else ["No version before it: nothing was raced."]
    builds = _builds(subject, before, setting.build) if before else []
    if builds and not shutil.which("cmake"):
        words.append("cmake is not installed here: the C++ programs were not raced.")
        builds = []
    with ExitStack() as stack:
        warm = _warm_calls(raced, setting, scratch, stack)
        whole = _processes(raced, common, builds, setting, scratch) if before else []
        lanes = _heat(warm, whole, setting)
        bars = _bars(subject, before, common, budget, lanes)
        broken = [bar for bar in bars if not bar.holds]
        if broken and all(bar.found and bar.unit == "x" for bar in broken):
            words.append("Something was over the budget, so all raced once more.")
            setting.say(f"gate: {words[-1]}")
            more = _heat(warm, whole, replace(setting, rules=_more(setting.rules)))
            lanes = tuple(one.joined(other) for one, other in zip(lanes, more, strict=True))
            bars = _bars(subject, before, common, budget, lanes)
    settings = {"rounds": str(setting.rules.rounds), "calls a round": str(setting.calls)}
    title = f"{subject.title} against {before.title}" if before else f"{subject.title} alone"
    return Part(GATE, title, settings, lanes, bars, words=tuple(words))


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


def _heat(
    warm: Sequence[Contestant], whole: Sequence[Contestant], setting: Setting
) -> tuple[Lane, ...]:
    """Race warm calls, and then whole processes."""
    rules, _ = setting.warm()
    turns = setting.turns("gate")
    return (*race(warm, rules, turns), *race(whole, setting.rules, turns))


def _more(rules: Rules) -> Rules:
    """Return rules of twice as many rounds, in another order."""
    return Rules(2 * rules.rounds, rules.warmup, rules.seed + 1)


def _warm_calls(
    raced: Sequence[_Raced], setting: Setting, scratch: Path, stack: ExitStack
) -> list[Contestant]:
    """Return warm calls of each crate in its runtimes, one and many at once, and the kernel."""
    _, calls = setting.warm()
    contestants: list[Contestant] = []
    many = scratch / "many"
    many.mkdir(exist_ok=True)
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
    return contestants


def _warm(name: str, runtime: str) -> str:
    return f"{name}: {runtime}, warm call"


def _batch(name: str, runtime: str) -> str:
    return f"{name}: {runtime}, {_MANY} at once"


def _files(name: str, runtime: str) -> str:
    return f"{name}: run_{runtime}, whole process"


def _processes(
    raced: Sequence[_Raced],
    runtimes: Sequence[str],
    builds: Sequence[Path],
    setting: Setting,
    scratch: Path,
) -> list[Contestant]:
    """Return whole processes over the same images, or of one call where a crate reads none."""
    contestants: list[Contestant] = []
    files = setting.files if all(each.reads_images for _, each, _ in raced) else None
    for at, (name, each, _) in enumerate(raced):
        asked = question(each, files, setting, scratch)
        contestants += [
            process(_files(name, runtime), python(each, runtime, asked), asked.lines)
            for runtime in runtimes
        ]
        contestants += [_cpp(name, each, build, asked, setting) for build in builds[at : at + 1]]
    return contestants


def _builds(subject: Subject, before: Subject, build: Path) -> list[Path]:
    """Return where the C++ of each is built, in one folder if it is the same; none if one has none.

    The first is built where verify builds it, which may have been kept.
    """
    this, other = (
        {name: (each.folder / name).read_bytes() for name in each.sources}
        for each in (subject, before)
    )
    if not this or not other:
        return []
    return [build, build if this == other else build.with_name(f"{build.name}-before")]


def _cpp(name: str, each: Subject, build: Path, asked: Question, setting: Setting) -> Contestant:
    """Return whole processes of the C++ program; one that cannot be built fails at its turn."""
    from torchcrate.bench import cpp  # torch, which takes a second to import

    setting.say(f"gate: build C++ of {name}")
    try:
        program = cpp.program(each, build)
    except RunnerError as error:
        return Contestant(_files(name, _CPP), partial(_refuse, error))
    return process(_files(name, _CPP), shipped(each, program, asked), asked.lines)


def _refuse(error: RunnerError) -> Sample:
    raise error


def _bars(
    subject: Subject,
    before: Subject | None,
    common: Sequence[str],
    budget: Budget,
    lanes: Sequence[Lane],
) -> tuple[Bar, ...]:
    named = {lane.name: lane for lane in lanes}
    against = _against(before, common, budget, named) if before else []
    return (*_own(subject, budget, named), *against)


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
    before: Subject, runtimes: Sequence[str], budget: Budget, lanes: dict[str, Lane]
) -> list[Bar]:
    """Judge how much longer this crate takes; what the one before cannot do is no fault of it."""
    kinds = ((_warm, "warm call"), (_batch, f"{_MANY} at once"), (_files, "whole process"))
    bars = []
    for runtime in (*runtimes, _CPP):
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
    if not bars:
        note = "no runtime that both have a program for is here: nothing was raced"
        bars.append(judged(f"this / {before.title}", (), budget.slower, note=note))
    return bars


def _lies(lane: Lane) -> str:
    """Return how a distribution lies, in words."""
    lies = Spread.of(lane.seconds)
    return f"{seconds(lies.median)} (10 % to 90 %: {seconds(lies.low)} to {seconds(lies.high)})"

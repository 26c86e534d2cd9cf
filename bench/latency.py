"""One warm call after another: the crate's runner against the bare runtime, and busy cores."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

from torchcrate.bench.race import Contestant, Sample, compared, race
from torchcrate.bench.results import Part
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Programs, Subject
from torchcrate.bench.worker import neighbours, working, working_in_cpp
from torchcrate.cores import cores


def latency(subject: Subject, cpp: Programs | None, setting: Setting, scratch: Path) -> Part:
    """Race the runner of each runtime, the C++ program's too, against its bare call.

    Args:
        subject: The crate.
        cpp: The C++ programs, if it has one.
        setting: Rounds and calls.
        scratch: A folder for the inputs.
    """
    with ExitStack() as stack:
        contestants, (rules, calls) = [], setting.warm()
        makers = {each: partial(working, subject, each, scratch) for each in subject.runtimes}
        if cpp:
            makers["C++"] = partial(working_in_cpp, subject, cpp.call, scratch)
        for runtime, maker in makers.items():
            for name, call in (("runner", "answer"), ("bare call", "bare")):
                worker = stack.enter_context(maker())
                contestants.append(worker.contestant(f"{runtime}: {name}", call, calls))
        lanes = race(contestants, rules, setting.turns("latency"))
    named = {lane.name: lane for lane in lanes}
    bars = tuple(
        compared(
            f"4 {runtime}: warm call of the runner / of the bare runtime",
            named,
            f"{runtime}: runner",
            f"{runtime}: bare call",
            1.1,
        )
        for runtime in makers
    )
    settings = {"rounds": str(rules.rounds), "calls a round": str(calls)}
    return Part("latency", "One warm call, the same input", settings, lanes, bars)


def busy(subject: Subject, setting: Setting, scratch: Path) -> Part:
    """Measure warm calls of TorchScript on one thread and on all, alone and with neighbours.

    Args:
        subject: A crate that has TorchScript.
        setting: Rounds and calls.
        scratch: A folder for the inputs.
    """
    many = cores()
    threads = {
        "one thread": {"OMP_NUM_THREADS": "1"},
        f"{many} threads": {"OMP_NUM_THREADS": str(many), "OMP_WAIT_POLICY": "passive"},
        f"{many} threads that spin": {"OMP_NUM_THREADS": str(many), "OMP_WAIT_POLICY": "active"},
    }
    with ExitStack() as stack:
        contestants, (rules, calls) = [], setting.warm()
        for name, env in threads.items():
            worker = stack.enter_context(working(subject, "torchscript", scratch, env))
            contestants.append(worker.contestant(name, "bare", calls))
        worker = stack.enter_context(working(subject, "torchscript", scratch))
        contestants.append(worker.contestant("the runner", "answer", calls))
        loaded = [_beside(each, many) for each in contestants]
        lanes = race([*contestants, *loaded], rules, setting.turns("busy"))
    named = {lane.name: lane for lane in lanes}
    bar = compared(
        "4 with busy neighbours: the runner / the bare runtime on one thread",
        named,
        loaded[-1].name,
        loaded[0].name,
        1.2,
    )
    settings = {"rounds": str(rules.rounds), "neighbours": str(many)}
    title = "One warm call of TorchScript, alone and while others keep all cores busy"
    return Part("busy", title, settings, lanes, (bar,))


def _beside(contestant: Contestant, count: int) -> Contestant:
    """Return the same contestant with `count` busy processes beside it."""

    def measure() -> Sample:
        with neighbours(count):
            return contestant.measure()

    return Contestant(f"{contestant.name}, busy", measure)

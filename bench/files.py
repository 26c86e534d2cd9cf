"""Many PNG files, whole processes: the crate's programs against loops that do one at a time."""

import sys
from collections.abc import Mapping

from torchcrate.bench.process import Command, inner, process
from torchcrate.bench.question import picture, pictures, python, shipped
from torchcrate.bench.race import Contestant, Rules, compared, judged, race
from torchcrate.bench.results import Bar, Lane, Part
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Images, Programs, Subject, images
from torchcrate.cores import cores

WHOLE = 60_000  # files for which the bars were set
CPP, LOOP, DECODE, FORWARD = (
    "C++ program",
    "C++ tutorial loop",
    "C++ decoding alone, one core",
    "C++ forward alone, one core",
)
_ONE = "C++ program, one file"
_LOOPS = 2  # turns of a loop at most: one takes minutes
_WITHIN = 0.05  # seconds from the model being ready to the first answer


def files(subject: Subject, cpp: Programs | None, setting: Setting) -> Part:
    """Race all programs of a crate over the same files.

    Args:
        subject: A crate that reads images.
        cpp: Its C++ program with its baselines; None if it has none.
        setting: How many files, and how often.

    Raises:
        FolderError: If the files cannot be written.
    """
    read = images(subject, setting.files, setting.out, setting.data_dir)
    contestants = [*(_cpp(subject, cpp, read) if cpp else ()), *_python(subject, read)]
    chosen = setting.rules
    warmup = 0 if read.count >= WHOLE else chosen.warmup  # there it would be minutes for nothing
    rules = Rules(chosen.rounds, warmup, chosen.seed)
    lanes = race(contestants, rules, setting.turns("files"))
    return Part(
        "files",
        f"{read.count:,} PNG files, whole processes",
        {"images": read.kind, "rounds": str(rules.rounds), "cores": str(cores())},
        lanes,
        _bars({lane.name: lane for lane in lanes}, read.count),
    )


def _cpp(subject: Subject, cpp: Programs, read: Images) -> list[Contestant]:
    model = subject.folder.resolve() / "model.pt"
    return [
        process(CPP, shipped(subject, cpp.shipped, pictures(read)), read.count),
        process(_ONE, shipped(subject, cpp.shipped, picture(read)), 1),
        process(LOOP, [cpp.loop, model, read.names, "loop"], 1, most=_LOOPS),
        inner(DECODE, [cpp.loop, model, read.names, "decode"]),
        inner(FORWARD, [cpp.loop, model, read.names, "forward"]),
    ]


def _python(subject: Subject, read: Images) -> list[Contestant]:
    found = []
    for runtime in subject.runtimes:
        loop: Command = [sys.executable, "-m", "torchcrate.bench.loop", runtime]
        loop += [subject.folder, read.names, subject.image.name]
        ours = python(subject, runtime, pictures(read))
        found += [
            process(f"run_{runtime}", ours, read.count),
            process(f"{runtime} loop", loop, read.count, most=_LOOPS),
        ]
    return found


def _bars(lanes: Mapping[str, Lane], count: int) -> tuple[Bar, ...]:
    note = "" if count >= WHOLE else f"the bar is set for {WHOLE:,} files: start weighs more here"
    bars = []
    if CPP in lanes:
        bars = [
            compared("1 C++: tutorial loop / program", lanes, LOOP, CPP, 5, least=True, note=note),
            _limit(lanes, note),
            _first(lanes),
        ]
    if CPP in lanes and "run_onnx" in lanes:
        bars.append(compared("2 run_onnx / C++ program", lanes, "run_onnx", CPP, 1.5, note=note))
    for runtime in ("torchscript", "eager"):
        if f"run_{runtime}" in lanes:
            what, ours = f"2 {runtime}: loop / run_{runtime}", f"run_{runtime}"
            bars.append(compared(what, lanes, f"{runtime} loop", ours, 5, least=True, note=note))
    return tuple(bars)


def _limit(lanes: Mapping[str, Lane], note: str) -> Bar:
    """Hold the program to what its two halves take alone, spread over all cores."""
    what = "1 C++: program / ((decode + forward core-seconds) / cores)"
    failed = [f"{name}: {lanes[name].failure}" for name in (CPP, DECODE, FORWARD)]
    problem = next((line for line in failed if not line.endswith(": ")), "")
    halves = zip(lanes[DECODE].cpu, lanes[FORWARD].cpu, strict=False)
    least = [(decode + forward) / cores() for decode, forward in halves]
    values = [took / limit for took, limit in zip(lanes[CPP].medians, least, strict=False)]
    return judged(what, values, 1.2, note=problem or note)


def _first(lanes: Mapping[str, Lane]) -> Bar:
    """Judge how much later the first of all answers comes than the answer to a single file."""
    many, one = lanes[CPP], lanes[_ONE]
    values = [later - sooner for later, sooner in zip(many.first, one.first, strict=False)]
    what = "1 C++: first answer of all files after that of one file"
    return judged(what, values, _WITHIN, unit="s", note=many.failure or one.failure)

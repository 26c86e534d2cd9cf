"""Memory of the programs that ship, over the number of images they are asked for."""

from collections.abc import Callable
from functools import partial

from torchcrate.bench.files import CPP
from torchcrate.bench.process import Command, process
from torchcrate.bench.question import Question, pictures, python, shipped
from torchcrate.bench.race import Rules, judged, race
from torchcrate.bench.results import Bar, Curve, Part, Plot
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Programs, Subject, images

_FEW = 10
_FLAT = 1.25  # the most at any number over the most at ten


Asked = Callable[[Question], Command]


def memory(subject: Subject, cpp: Programs | None, setting: Setting) -> Part:
    """Measure the most memory that each program held for 10 images and for many.

    Many images are the same files over and over: one `--image` for each time.

    Args:
        subject: A crate that reads images.
        cpp: Its C++ program with its baselines; None if it has none.
        setting: How many images at most.

    Raises:
        FolderError: If the files cannot be written.
    """
    counts = _counts(setting.many, setting.files)
    programs = _programs(subject, cpp)
    contestants = []
    for count in counts:
        size = min(count, setting.files)
        read = images(subject, size, setting.out, setting.data_dir)
        asked = pictures(read, times=count // size)
        for name, command in programs.items():
            contestants.append(process(f"{name}, {count:,}", command(asked), asked.lines))
    rules = Rules(rounds=1, warmup=0, seed=setting.rules.seed)
    lanes = race(contestants, rules, setting.turns("memory"))
    peaks = {lane.name: lane.peak[0] for lane in lanes if lane.peak}
    curves = tuple(
        Curve(
            name,
            tuple(
                (float(count), peaks[f"{name}, {count:,}"] / 1e6)
                for count in counts
                if f"{name}, {count:,}" in peaks
            ),
        )
        for name in programs
    )
    plot = Plot("memory", "Memory over the number of images", "images", "MB", curves)
    settings = {"images": f"{counts[0]} to {counts[-1]:,}"}
    title = "The most memory that a whole process held"
    failed = {lane.name.rpartition(", ")[0]: lane.failure for lane in lanes if lane.failure}
    bars = tuple(_flat(curve, failed.get(curve.name, "")) for curve in curves)
    return Part("memory", title, settings, lanes, bars, (plot,))


def _programs(subject: Subject, cpp: Programs | None) -> dict[str, Asked]:
    found: dict[str, Asked] = {}
    if cpp:
        found[CPP] = partial(shipped, subject, cpp.shipped)
    return found | {f"run_{each}": partial(python, subject, each) for each in subject.runtimes}


def _counts(many: int, files: int) -> list[int]:
    """Return 10, 1,000 and so on up to `many`, each a multiple of as many files as there are."""
    steps = [_FEW, *(step for step in (1_000, 10_000, 60_000) if 10 * step <= many)]
    whole = [step if step <= files else step // files * files for step in (*steps, many)]
    return sorted(set(whole))


def _flat(curve: Curve, failure: str) -> Bar:
    peaks = [peak for _, peak in curve.points] if not failure else []
    what = f"1 memory of {curve.name}: the most at any number / at {_FEW}"
    return judged(what, [max(peaks) / peaks[0]] if len(peaks) > 1 else [], _FLAT, note=failure)

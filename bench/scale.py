"""How cost grows, with model, batch, image and number of files, and what bounds it."""

import subprocess
import sys

import msgspec

from torchcrate.bench.bounds import (
    GEMM,
    READ,
    WHOLE,
    Size,
    bounded,
    figures,
    median,
    reached,
    started,
)
from torchcrate.bench.files import CPP
from torchcrate.bench.process import process
from torchcrate.bench.question import pictures, python, shipped
from torchcrate.bench.race import race
from torchcrate.bench.results import Curve, Lane, Part, Plot
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Programs, Subject, images
from torchcrate.errors import RunnerError

_BATCH = 64  # how many images the C++ program puts together
_KINDS = {  # what grows: its axis, and the largest that is measured
    "parameters": ("parameters", 600_000_000),
    "batch": ("images in a batch", 4096),
    "side": ("pixels a side", 2048),
}
_QUICK = {"parameters": 2_000_000, "batch": 256, "side": 256}  # where there are few rounds


def growth(subject: Subject, kind: str, setting: Setting) -> Part:
    """Measure one call of a model while one thing grows, against the limits of the machine.

    Args:
        subject: A crate with eager and TorchScript that reads images of any size; "parameters"
            asks networks that are made up instead.
        kind: "parameters", "batch" or "side".
        setting: How often; few rounds leave out the largest.

    Raises:
        RunnerError: If the models cannot be run.
    """
    axis, largest = _KINDS[kind]
    rounds = setting.rules.rounds
    largest = _QUICK[kind] if rounds < 3 else largest
    setting.say(f"scale: {axis} up to {largest:,}")
    words = [kind, subject.folder.resolve(), rounds, setting.rules.seed, largest]
    command = [sys.executable, "-m", "torchcrate.bench.grow", *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
        raise RunnerError(f"the models that grow failed: {said[-1]}")
    sizes = msgspec.json.decode(done.stdout, type=tuple[Size, ...])
    names = list(dict.fromkeys(size.curve for size in sizes))
    grown = {name: [size for size in sizes if size.curve == name] for name in names}
    curves = [curve for name in names for curve in _curves(name, grown[name])]
    plot = Plot(f"scale-{kind}", f"Seconds a call over {axis}", axis, "seconds", tuple(curves))
    sentences = [f"{name}: {bounded(grown[name], axis)}" for name in names]
    if kind == "batch":
        sentences += [reached(size) for size in sizes if size.at == _BATCH]
    lanes = tuple(_named(size, lane) for size in sizes for lane in size.lanes)
    settings = {"rounds": str(rounds)}
    title = f"One warm call over {axis}, and the machine's limits"
    return Part(f"scale-{kind}", title, settings, lanes, plots=(plot,), words=tuple(sentences))


def count(subject: Subject, cpp: Programs | None, setting: Setting) -> Part:
    """Measure whole processes over the number of files.

    Raises:
        FolderError: If the files cannot be written.
    """
    counts = [each for each in (1, 10, 100, 1_000, 10_000, 60_000) if each < setting.files]
    counts.append(setting.files)
    contestants = []
    for number in counts:
        read = images(subject, number, setting.out, setting.data_dir)
        if cpp:
            command = shipped(subject, cpp.shipped, pictures(read))
            contestants.append(process(f"{CPP}, {number:,}", command, number))
        for runtime in subject.runtimes:
            command = python(subject, runtime, pictures(read))
            contestants.append(process(f"run_{runtime}, {number:,}", command, number))
    lanes = race(contestants, setting.rules, setting.turns("scale"))
    named = {lane.name: lane for lane in lanes}
    programs = [*([CPP] if cpp else []), *(f"run_{each}" for each in subject.runtimes)]
    curves, sentences = [], []
    for name in programs:
        points = [(each, named[f"{name}, {each:,}"]) for each in counts]
        curve = Curve(name, tuple((float(x), median(lane)) for x, lane in points if lane.rounds))
        curves.append(curve)
        sentences += [started(curve)] if len(curve.points) > 1 else []
    plot = Plot("scale-files", "Seconds a process over files", "files", "seconds", tuple(curves))
    settings = {"rounds": str(setting.rules.rounds)}
    title = "Whole processes over the number of files"
    return Part("scale-files", title, settings, lanes, plots=(plot,), words=tuple(sentences))


def _named(size: Size, lane: Lane) -> Lane:
    name = f"{size.curve}, {size.at:,}: {lane.name}"
    return Lane(name, lane.rounds, lane.cpu, failure=lane.failure)


def _curves(name: str, sizes: list[Size]) -> tuple[Curve, ...]:
    """Return the curve of a model and the one of its limit, whichever is the higher."""
    found = [(float(size.at), figures(size)) for size in sizes]
    limit = tuple((at, max(medians[GEMM], medians[READ])) for at, medians in found)
    return (
        Curve(name, tuple((at, medians[WHOLE]) for at, medians in found)),
        Curve(f"{name}: limit", limit),
    )

"""All races of one benchmark, and the files that it leaves."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from torchcrate.bench import svg
from torchcrate.bench.budget import Budget, gate
from torchcrate.bench.exporting import exporting
from torchcrate.bench.files import files
from torchcrate.bench.latency import busy, latency
from torchcrate.bench.machine import described
from torchcrate.bench.memory import memory
from torchcrate.bench.results import Part, Results
from torchcrate.bench.setting import Setting
from torchcrate.bench.start import start
from torchcrate.bench.subject import Programs, Subject
from torchcrate.bench.training import data_of, training
from torchcrate.bench.words import shown
from torchcrate.errors import UsageError
from torchcrate.files import write_whole, writing

JSON, TABLE = "bench.json", "bench.txt"
PARTS = ("files", "start", "latency", "busy", "memory")
MORE = ("scale", "export", "training")  # what takes longest, or says nothing of one crate
_IMAGES = {"files", "memory", "scale"}  # for crates that read images
_TORCHSCRIPT = {"busy", "scale"}
_PROGRAMS = {"files", "start", "latency", "memory", "scale"}  # start the C++ program


def parts_of(setting: Setting, *, every: bool) -> tuple[str, ...]:
    """Return the parts that are run where none is named; training only where its data is."""
    more = MORE if setting.data_dir else [part for part in MORE if part != "training"]
    return (*PARTS, *more) if every else PARTS


def bench(subject: Subject, parts: Sequence[str], setting: Setting) -> Results:
    """Run the named parts one after another.

    Args:
        subject: The crate.
        parts: Of PARTS and MORE; what the crate has nothing for is left out, with a word.
        setting: How much, how often and where.

    Raises:
        UsageError: If a part is none.
        RunnerError: If a program cannot be built or a training fails.
        FolderError: If a folder cannot be written, or MNIST is not there.
    """
    unknown = [part for part in parts if part not in (*PARTS, *MORE)]
    if unknown:
        raise UsageError(f"{unknown[0]!r} is no part: there are {', '.join((*PARTS, *MORE))}")
    if "training" in parts:
        data_of(setting)
    with writing(setting.out):  # known before an hour has gone into it
        setting.out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=setting.out).close()
    machine, programs = described(), None
    if subject.sources and _PROGRAMS & set(parts):
        from torchcrate.bench import cpp  # torch, which takes a second to import

        setting.say("build C++")
        programs = cpp.programs(subject, setting.build)
    results = Results(subject.title, subject.content, machine, setting.rules.seed, ())
    with tempfile.TemporaryDirectory(prefix="torchcrate-") as folder:
        for part in parts:
            lacks = _lacks(subject, part)
            if lacks:
                setting.say(f"{part} is left out: {lacks}")
                continue
            for result in _run(part, subject, programs, setting, Path(folder)):
                results = replace(results, parts=(*results.parts, result))
                save(results, setting.out)  # whatever becomes of the next one
    return results


def _lacks(subject: Subject, part: str) -> str:
    """Return why a part has nothing to ask of a crate, "" if it has."""
    if part in _IMAGES and not subject.reads_images:
        return "the crate reads no images"
    if part in _TORCHSCRIPT and "torchscript" not in subject.runtimes:
        return "the crate has no program for TorchScript here"
    return ""


def _run(
    part: str, subject: Subject, programs: Programs | None, setting: Setting, scratch: Path
) -> Iterator[Part]:
    """Run one part; "scale" is several."""
    if part == "files":
        yield files(subject, programs, setting)
    elif part == "start":
        yield start(subject, programs, setting, scratch)
    elif part == "latency":
        yield latency(subject, programs, setting, scratch)
    elif part == "busy":
        yield busy(subject, setting, scratch)
    elif part == "memory":
        yield memory(subject, programs, setting)
    elif part == "export":
        yield exporting(setting)
    elif part == "training":
        yield training(setting)
    else:
        from torchcrate.bench import scale  # torch

        for kind in ("parameters", "batch", "side"):
            yield scale.growth(subject, kind, setting)
        yield scale.count(subject, programs, setting)


def gate_alone(
    subject: Subject, before: Subject | None, budget: Budget, setting: Setting
) -> Results:
    """Hold a crate to its budget and to the version before it; see `budget.gate`.

    Raises:
        FolderError: If a folder cannot be written.
    """
    machine = described()
    with tempfile.TemporaryDirectory(prefix="torchcrate-") as folder:
        part = gate(subject, before, budget, setting, Path(folder))
    return Results(subject.title, subject.content, machine, setting.rules.seed, (part,))


def save(results: Results, out: Path) -> tuple[Path, ...]:
    """Write bench.json, its table and a picture of each part into `out`, and return their paths.

    Raises:
        FolderError: If `out` cannot be written.
    """
    written = {JSON: results.dump().decode(), TABLE: f"{shown(results)}\n"}
    for part in results.parts:
        if part.plots:
            written |= {f"bench-{plot.name}.svg": svg.curves(plot) for plot in part.plots}
        elif part.lanes:
            written[f"bench-{part.name}.svg"] = svg.strips(part.title, part.lanes)
    for name, text in written.items():
        write_whole(out / name, text.encode())
    return tuple(out / name for name in written)

"""All races of one benchmark, and the files that it leaves."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from torchcrate.bench import svg
from torchcrate.bench.budget import Budget, gate
from torchcrate.bench.files import files
from torchcrate.bench.latency import busy, latency
from torchcrate.bench.machine import described
from torchcrate.bench.memory import memory
from torchcrate.bench.results import Part, Results
from torchcrate.bench.setting import Setting
from torchcrate.bench.start import start
from torchcrate.bench.subject import Subject
from torchcrate.files import write_whole

JSON = "bench.json"
PARTS = ("files", "start", "latency", "busy", "memory")
_IMAGES = {"files", "memory"}  # for crates that read images
_PROGRAMS = {"files", "start", "memory"}  # start the C++ program


def bench(subject: Subject, parts: Sequence[str], setting: Setting) -> Results:
    """Run the named parts one after another.

    Args:
        subject: The crate.
        parts: Of PARTS; what the crate has nothing for is left out.
        setting: How much, how often and where.

    Raises:
        RunnerError: If a program cannot be built.
        FolderError: If a folder cannot be written.
    """
    machine = described()
    programs = None
    if subject.sources and _PROGRAMS & set(parts):
        from torchcrate.bench import cpp  # torch, which takes a second to import

        setting.say("build C++")
        programs = cpp.programs(subject, setting.build)
    with tempfile.TemporaryDirectory(prefix="torchcrate-") as folder:
        scratch = Path(folder)
        run: dict[str, Callable[[], Part]] = {
            "files": lambda: files(subject, programs, setting),
            "start": lambda: start(subject, programs, setting, scratch),
            "latency": lambda: latency(subject, setting, scratch),
            "busy": lambda: busy(subject, setting, scratch),
            "memory": lambda: memory(subject, programs, setting),
        }
        here = [
            part
            for part in parts
            if (subject.reads_images or part not in _IMAGES)
            and ("torchscript" in subject.runtimes or part != "busy")
        ]
        found = tuple(run[part]() for part in here)
    return Results(subject.title, subject.content, machine, setting.rules.seed, found)


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
    """Write bench.json and a picture of each part into `out`, and return their paths.

    Raises:
        FolderError: If `out` cannot be written.
    """
    written = {JSON: results.dump().decode()}
    for part in results.parts:
        if part.plots:
            written |= {f"{plot.name}.svg": svg.curves(plot) for plot in part.plots}
        else:
            written[f"{part.name}.svg"] = svg.strips(part.title, part.lanes)
    for name, text in written.items():
        write_whole(out / name, text.encode())
    return tuple(out / name for name in written)

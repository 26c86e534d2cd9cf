"""Many crates at once, each made in a process of its own.

What is slow to import is imported once; what a network's own code imports, and does to the
process that imports it, stays in that network's process.
"""

import gc
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

import torch

from torchcrate import road
from torchcrate.cores import cores
from torchcrate.errors import CrateError, ExportError, Interrupted
from torchcrate.export.findings import Findings
from torchcrate.export.models import export_models
from torchcrate.fleet.members import Member
from torchcrate.fleet.processes import Done, each
from torchcrate.model import targets, weights
from torchcrate.model.spec import ModelSpec
from torchcrate.release.history import size_words
from torchcrate.release.manifest import Manifest
from torchcrate.release.staging import sweep
from torchcrate.release.trust.provenance import Origin
from torchcrate.table import table


@dataclass(frozen=True)
class Row:
    """What became of one network.

    Attributes:
        target: Where it is described.
        name: Of its crate.
        seconds: What making the crate took.
        formats: By which way each format of the crate was made, say {"torchscript": "script"}.
        left_out: Why each other format is not there.
        size: Bytes of all files of the crate; 0 if there is none.
        reason: Why there is none, in one line; "" if there is one.
        exit_code: What `export` of this network alone ends with.
    """

    target: str
    name: str
    seconds: float
    formats: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    size: int = 0
    reason: str = ""
    exit_code: int = 0

    def words(self) -> str:
        """Return what became of it on one line."""
        if self.reason:
            return f"{self.name} failed: {self.reason}"
        left = [f"; {name} is left out: {why}" for name, why in self.left_out.items()]
        return f"{self.name} exported in {self.seconds:.1f} s{''.join(left)}"


def export_all(
    fleet: Sequence[Member],
    out: Path,
    version: str,
    origin: Origin,
    jobs: int,
    say: Callable[[str], None] = lambda line: None,
    on_row: Callable[[Row], None] = lambda row: None,
) -> tuple[Row, ...]:
    """Write a crate of each network into `out`/NAME; one that fails keeps no other from it.

    Call it before this process has computed anything with torch on several threads: the
    processes forked from it could not compute then.

    Args:
        fleet: What `members` returned.
        out: The folder of the crates.
        version: Of each crate.
        origin: Where they are made.
        jobs: How many processes work at once; the cores are shared out among them.
        say: Called with each line that a network's own code printed, the crate's name before it.
        on_row: Called with each row as soon as it is known.

    Returns:
        A row for each network, in the order of `fleet`.

    Raises:
        Interrupted: On Ctrl-C: crates that were ready stand, and nothing else was left.
    """
    rows: dict[str, Row] = {}

    def known(row: Row) -> None:
        rows[row.target] = row
        on_row(row)

    for member in fleet:
        if member.fault:
            known(_failed(member, member.fault))
    sound = [member for member in fleet if not member.fault]
    threads = max(1, cores() // jobs)
    work = [partial(_export, one, out / one.name, version, origin, threads) for one in sound]
    try:
        with _rehearsed(), closing(each(work, jobs)) as ended:
            for done in ended:
                member = sound[done.number]
                for line in done.printed.splitlines():
                    say(f"{member.name}: {line}")
                _clean(out / member.name)
                known(_row(member, done))
    except KeyboardInterrupt as stop:
        for member in sound:
            _clean(out / member.name)
        made = sum(not row.reason for row in rows.values())
        raise Interrupted(
            f"{made} of {len(fleet)} crates are in {out}, nothing half-written was left"
        ) from stop
    return tuple(rows[member.target] for member in fleet)


def shown(rows: Sequence[Row]) -> str:
    """Return the rows as a table for people."""
    head = ("name", "result", "formats", "seconds", "size or reason")
    return table([head, *(_words(row) for row in rows)])


def failure(rows: Sequence[Row]) -> CrateError | None:
    """Return what all of it ends with: an error of the first failure's class, or None."""
    failed = [row for row in rows if row.reason]
    if not failed:
        return None
    kinds = {kind.exit_code: kind for kind in CrateError.__subclasses__()}
    kind = kinds.get(failed[0].exit_code, ExportError)
    return kind(f"{len(failed)} of {len(rows)} networks failed, the first is {failed[0].name}")


def _words(row: Row) -> tuple[str, ...]:
    seconds = f"{row.seconds:.1f}"
    if row.reason:
        return row.name, "failed", "-", seconds, row.reason
    plain = {"source", "onnx"}  # there is no other way
    formats = [name if way in plain else f"{name} by {way}" for name, way in row.formats.items()]
    return row.name, "exported", ", ".join(formats), seconds, size_words(row.size)


def _row(member: Member, done: Done[tuple[Manifest, Findings]]) -> Row:
    if done.value is None:
        return _failed(member, done.error or ExportError("it gives no answer"), done.seconds)
    draft, findings = done.value
    return Row(
        member.target,
        member.name,
        done.seconds,
        {form.name: form.way for form in findings.formats if form.way},
        {form.name: form.reason for form in findings.formats if not form.way},
        sum(file.size for file in draft.files),
    )


def _failed(member: Member, error: CrateError, seconds: float = 0.0) -> Row:
    reason = str(error).removeprefix(f"{member.name}: ")
    return Row(member.target, member.name, seconds, reason=reason, exit_code=error.exit_code)


def _export(
    member: Member, out: Path, version: str, origin: Origin, threads: int
) -> tuple[Manifest, Findings]:
    torch.set_num_threads(threads)
    spec = targets.spec_of(member.target)
    return road.export(spec, member.target, out, version, origin, lambda step: None)


def _clean(crate: Path) -> None:
    """Remove what a killed process left beside a crate."""
    if crate.parent.is_dir():
        sweep(crate)


@contextmanager
def _rehearsed() -> Iterator[None]:
    """Keep what is in memory one copy for all processes that the block forks."""
    _rehearse()
    gc.collect()
    gc.freeze()  # a page that the collector does not touch is not copied
    try:
        yield
    finally:
        gc.unfreeze()


@cache
def _rehearse() -> None:
    """Export a network of nothing: what every export imports and works out is there afterwards.

    On one thread, as a pool of threads would be missing in the processes forked from here.
    """
    torch.set_num_threads(1)
    spec = ModelSpec("rehearsal", torch.nn.Identity, ("input:float32[batch,1]",))
    with tempfile.TemporaryDirectory() as folder:
        export_models(weights.load(spec), spec, Path(folder))

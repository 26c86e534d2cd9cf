"""Every classification, segmentation, detection and video network of torchvision becomes a crate.

`python tests/zoo/survey.py` asks one after the other, each in a process of its own, keeps a line
for each in build/zoo/results.jsonl, goes on from there when it is started again, and writes the
table of docs/zoo.md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
LIMIT = 30 * 60  # seconds for one network
HEAVY = 350_000_000  # parameters; the heavier ones come last, and with memory to spare


@dataclass
class Entry:
    """What became of one network.

    Attributes:
        name: Of the network.
        kind: What it is for.
        parameters: Numbers in its weights.
        formats: For torchscript and onnx: way, reason, axes ("free" or "fixed"), largest, megabytes,
            seconds; `way` is "" where it was refused.
        spread: How much eager's answers differ between pictures.
        verdict: "right", "refused" or "does not run here".
        reason: Why it is not right.
        note: Why free sizes of the picture do not hold.
        seconds: For all of it.
        peak: Gigabytes of memory of the process.
    """

    name: str
    kind: str
    parameters: int
    formats: dict[str, dict[str, Any]] = field(default_factory=dict)
    spread: float = 0.0
    verdict: str = ""
    reason: str = ""
    note: str = ""
    seconds: float = 0.0
    peak: float = 0.0


def judged(name: str) -> Entry:
    """Export one network, with free sizes of the picture where that holds, and tell what was found."""
    warnings.simplefilter("ignore")
    from networks import zoo

    started = time.monotonic()
    found = next(each for each in zoo() if each.name == name)
    entry = Entry(found.name, found.kind, found.parameters)
    for free in (True, False):
        reason = _attempt(entry, found.spec(free=free), "free" if free else "fixed")
        if free:
            entry.note = reason
        else:
            entry.reason = reason
        if reason.startswith("does not run") or _complete(entry):
            break
    ways = [form["way"] for form in entry.formats.values()]
    entry.reason = entry.reason or ("" if ways else entry.note)
    if _complete(entry):
        entry.verdict, entry.reason = "right", ""
    elif "does not run here" in entry.reason:
        entry.verdict = "does not run here"
    else:
        entry.verdict = "right" if any(ways) else "refused"
    entry.seconds = round(time.monotonic() - started, 1)
    entry.peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    return entry


def _complete(entry: Entry) -> bool:
    return len(entry.formats) == 2 and all(form["way"] for form in entry.formats.values())


def _attempt(entry: Entry, spec: Any, axes: str) -> str:
    """Export what is not there yet; return why nothing came of it, or ""."""
    import torch
    from networks import enliven

    from torchcrate.errors import CrateError
    from torchcrate.export import choose
    from torchcrate.export.describe import completed
    from torchcrate.model import weights
    from torchcrate.model.cases import example
    from torchcrate.model.eager import answers, dtypes
    from torchcrate.model.targets import said, where
    from torchcrate.model.tolerance import spread, tolerances

    loaded = weights.load(spec)
    try:
        enliven(loaded.network, spec)
    except Exception as error:
        custom = "custom C++ ops" in str(error)
        words = "does not run here" if custom else "fails"
        return f"{words}: {said(error)}{where(error)}"
    try:
        contract = completed(loaded.module, spec.contract)
        cases = spec.samples()
        asked = choose.Asked(
            loaded.module,
            contract,
            {key: torch.from_numpy(value) for key, value in example(contract).items()},
            cases,
            answers(loaded.module, contract, cases),
            tolerances(spec, dtypes(loaded.module, contract)),
        )
    except CrateError as error:
        custom = "custom C++ ops" in str(error)
        return f"does not run here: {error}" if custom else str(error)
    entry.spread = max(entry.spread, spread(asked.want.values()))
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as scratch:
        for make, name in ((choose.torchscript, "model.pt"), (choose.onnx, "model.onnx")):
            kept = entry.formats.get(make.__name__)
            if kept and kept["way"]:
                continue
            form = make(asked, Path(scratch) / name)
            for file in Path(scratch).iterdir():
                file.unlink()
            last = form.trials[-1]
            entry.formats[form.name] = {
                "way": form.way,
                "axes": axes,
                "largest": last.largest,
                "cases": last.cases,
                "megabytes": round(form.size / 1e6, 1),
                "seconds": round(form.seconds, 1),
                "reason": (kept["reason"] + " / " if kept else "") + form.reason,
            }
    return ""


def survey(results: Path, only: list[str], memory: float) -> None:
    """Judge all that have no line yet."""
    sys.path.insert(0, str(HERE.parent))
    from networks import zoo

    done = {entry.name for entry in read(results)}
    for each in zoo():
        if each.name in done or (only and each.name not in only):
            continue
        if not only and each.parameters > HEAVY and _free() < memory:
            print(f"{each.name}: left for later, {_free():.0f} GB are free", flush=True)
            continue
        entry = _apart(each.name, Entry(each.name, each.kind, each.parameters))
        with results.open("a") as lines:
            lines.write(json.dumps(asdict(entry)) + "\n")
        print(f"{entry.name}: {entry.verdict} {entry.reason} {entry.seconds:.0f} s", flush=True)


def _apart(name: str, empty: Entry) -> Entry:
    """Judge one network in a process of its own."""
    command = [sys.executable, str(HERE), "--one", name]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT, check=False, cwd=ROOT
        )
    except subprocess.TimeoutExpired:
        empty.verdict, empty.reason = "broken", f"not done after {LIMIT} s"
        return empty
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"killed by signal {-done.returncode}"]
        empty.verdict, empty.reason = "broken", lines[-1]
        return empty
    return Entry(**json.loads(done.stdout.splitlines()[-1]))


def _free() -> float:
    pages = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    return pages


def read(results: Path) -> list[Entry]:
    """Return the lines that are there."""
    lines: Iterable[str] = results.read_text().splitlines() if results.exists() else ()
    return [Entry(**json.loads(line)) for line in lines]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="these alone")
    parser.add_argument("--one", help="judge this network here, and print its line")
    parser.add_argument("--results", type=Path, default=ROOT / "build/zoo/results.jsonl")
    parser.add_argument("--memory", type=float, default=14, help="GB to be free for the heaviest")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(asdict(judged(given.one))))
        return
    given.results.parent.mkdir(parents=True, exist_ok=True)
    survey(given.results, given.names, given.memory)


if __name__ == "__main__":
    main()

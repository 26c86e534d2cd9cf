"""Every classification, segmentation, detection and video network of torchvision is exported.

`python tests/zoo/survey.py` asks one after the other, each in a process of its own, keeps a line
for each in build/zoo/results.jsonl, goes on from there when it is started again, and in the end
prints the table. With `--into docs/zoo.md` it goes there, under its heading.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
ROOT = HERE.parents[2]
RESULTS = ROOT / "build" / "zoo" / "results.jsonl"
LIMIT = 60 * 60  # seconds for one network
HEAVY = 350_000_000  # parameters of those that come with memory to spare alone
WIDEST = 1e-2  # what ONNX may be off where rounding takes eager far, too
HEADING = "Every network of torchvision is right or refused"
FORMATS = ("torchscript", "onnx")


@dataclass
class Entry:
    """What became of one network.

    Attributes:
        name: Of the network.
        kind: What it is for.
        parameters: Numbers in its weights.
        formats: By format: way ("" where it was refused), axes ("free" or "fixed"), reason,
            largest, megabytes, seconds.
        spread: How much eager's answers differ between pictures.
        verdict: "right", "refused", "does not run here" or "broken".
        reason: Why it is not right.
        note: Why it is not right for every size of the picture.
        rounding: How far eager is from itself in float64, where ONNX was allowed more than it is
            by default for that reason; else 0.
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
    rounding: float = 0.0
    seconds: float = 0.0
    peak: float = 0.0


def judged(name: str) -> Entry:
    """Export one network, with free sizes of the picture where that holds."""
    warnings.simplefilter("ignore")
    from networks import enliven, zoo

    from torchcrate.model import weights
    from torchcrate.model.targets import said

    started = time.monotonic()
    found = next(each for each in zoo() if each.name == name)
    entry = Entry(found.name, found.kind, found.parameters)
    loaded = weights.load(found.spec(free=False))
    try:
        enliven(loaded.network, found.spec(free=False))
    except RuntimeError as error:
        if "custom C++ ops" not in str(error):
            raise
        entry.verdict, entry.reason = "does not run here", said(error).partition(". ")[0]
    else:
        entry.note = _attempt(entry, loaded, found.spec(free=True), "free")
        if not _complete(entry):
            entry.reason = _attempt(entry, loaded, found.spec(free=False), "fixed")
        if not _complete(entry):
            whys = [f"{name}: {form['reason']}" for name, form in entry.formats.items()]
            entry.reason = entry.reason or "; ".join(whys)
        entry.verdict = "right" if _complete(entry) else "refused"
    entry.seconds = round(time.monotonic() - started, 1)
    entry.peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    return entry


def _complete(entry: Entry) -> bool:
    return len(entry.formats) == len(FORMATS) and all(f["way"] for f in entry.formats.values())


def _attempt(entry: Entry, loaded: Any, spec: Any, axes: str) -> str:
    """Make what is not there yet; return why not all is."""
    import torch

    from torchcrate.errors import CrateError
    from torchcrate.export import choose
    from torchcrate.export.describe import completed
    from torchcrate.model.cases import example
    from torchcrate.model.eager import answers, dtypes
    from torchcrate.model.tolerance import spread, tolerances

    try:
        contract = completed(loaded.module, spec.contract)
        cases = spec.samples()
        want = answers(loaded.module, contract, cases)
    except CrateError as error:
        return str(error)
    entry.spread = max(entry.spread, spread(want.values()))
    asked = choose.Asked(
        loaded.module,
        contract,
        {key: torch.from_numpy(value) for key, value in example(contract).items()},
        cases,
        want,
        tolerances(spec, dtypes(loaded.module, contract)),
    )
    why = []
    with tempfile.TemporaryDirectory(dir=RESULTS.parent) as scratch:
        for make, file in ((choose.torchscript, "model.pt"), (choose.onnx, "model.onnx")):
            if entry.formats.get(make.__name__, {}).get("way"):
                continue
            form = make(asked, Path(scratch) / file)
            own = 0.0
            if form.name == "onnx" and " is off by " in form.reason:
                own = _rounding(asked)
                wider = choose.ROUNDINGS * own
                if asked.limits["onnx"] < wider <= WIDEST:
                    limits = {**asked.limits, "onnx": wider}
                    form = make(replace(asked, limits=limits), Path(scratch) / file)
                    entry.rounding = own if form.way else 0.0
            for left in Path(scratch).iterdir():
                left.unlink()
            entry.formats[form.name] = {
                "way": form.way,
                "axes": axes,
                "largest": form.trials[-1].largest,
                "megabytes": round(form.size / 1e6, 1),
                "seconds": round(form.seconds, 1),
                "reason": form.reason,
            }
            itself = f"; eager is off by {own:.1e} itself, from float64" if own else ""
            why += [] if form.way else [f"{form.name}: {form.reason}{itself}"]
    return "; ".join(why)


def _rounding(asked: Any) -> float:
    """Return how far eager is from itself in float64, at the worst of all cases."""
    from torchcrate.export.rounding import rounding

    return max(
        max(rounding(asked.module, asked.contract, inputs).values(), default=0.0)
        for inputs in asked.cases.values()
    )


def survey(results: Path, only: list[str], memory: float) -> None:
    """Judge all that have no line yet."""
    sys.path.insert(0, str(HERE.parent))
    from networks import zoo

    done = {entry.name for entry in read(results)}
    for each in zoo():
        if each.name in done or (only and each.name not in only):
            continue
        if each.parameters > HEAVY and _free() < memory:
            print(f"{each.name}: left for later, {_free():.0f} GB are free", file=sys.stderr)
            continue
        entry = _apart(each.name, Entry(each.name, each.kind, each.parameters))
        with results.open("a") as lines:
            lines.write(json.dumps(asdict(entry)) + "\n")
        print(f"{entry.name}: {entry.verdict}, {entry.seconds:.0f} s", file=sys.stderr, flush=True)


def _apart(name: str, empty: Entry) -> Entry:
    """Judge one network in a process of its own."""
    command = [sys.executable, str(HERE), "--one", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    except subprocess.TimeoutExpired:
        empty.verdict, empty.reason = "broken", f"not done after {LIMIT} s"
        return empty
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        empty.verdict, empty.reason = "broken", lines[-1]
        return empty
    return Entry(**json.loads(done.stdout.splitlines()[-1]))


def _free() -> float:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9


def read(results: Path) -> list[Entry]:
    """Return the lines that are there."""
    lines: Iterable[str] = results.read_text().splitlines() if results.exists() else ()
    return [Entry(**json.loads(line)) for line in lines]


def table(entries: list[Entry]) -> str:
    """Return what docs/zoo.md shows: one line a network, by kind and size."""
    head = ("network", "M", "TorchScript", "off by", "ONNX", "off by", "spread", "s", "MB")
    rows = [head]
    notes = []
    for entry in sorted(entries, key=lambda each: (each.kind, each.parameters)):
        forms = [entry.formats.get(name, {}) for name in FORMATS]
        cells: list[str] = []
        for form in forms:
            way = form.get("way", "")
            cells.append(f"{way} {form['axes']}" if way else entry.verdict)
            cells.append(f"{form['largest']:.0e}" if way else "-")
        size = max((form.get("megabytes", 0) for form in forms), default=0)
        rows.append(
            (
                entry.name,
                f"{entry.parameters / 1e6:.1f}",
                *cells,
                f"{entry.spread:.0e}" if entry.spread else "-",
                f"{entry.seconds:.0f}",
                f"{size:.0f}",
            )
        )
        if entry.rounding:
            own = f"eager is off by {entry.rounding:.1e} from its own answer in float64"
            notes.append(f"{entry.name}: {own}, ONNX may be by four times that")
        if why := entry.note if entry.verdict == "right" else entry.reason:
            notes.append(f"{entry.name}: {why[:200]}")
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    count = {verdict: 0 for verdict in ("right", "refused", "does not run here", "broken")}
    for entry in entries:
        count[entry.verdict] += 1
    counted = ", ".join(f"{number} {verdict}" for verdict, number in count.items() if number)
    return "\n".join([*lines, "", *notes, "", f"{len(entries)} networks: {counted}"])


def put(text: str, path: Path) -> None:
    """Write a table into a page, in place of the one under its heading."""
    page = path.read_text()
    block = re.compile(rf"(^## {HEADING}$.*?^```text\n).*?(^```$)", re.M | re.S)
    path.write_text(block.sub(lambda found: f"{found[1]}{text}\n{found[2]}", page, count=1))


def main() -> None:
    """Ask, then print the table of all that was asked so far."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="these alone")
    parser.add_argument("--one", help="judge this network here, and print its line")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--memory", type=float, default=14, help="GB to be free for the heaviest")
    parser.add_argument("--table", action="store_true", help="ask nothing, print the table")
    parser.add_argument("--into", type=Path, help="the page that shows the table")
    given = parser.parse_args()
    given.results.parent.mkdir(parents=True, exist_ok=True)
    if given.one:
        print(json.dumps(asdict(judged(given.one))))
        return
    if not given.table:
        survey(given.results, given.names, given.memory)
    shown = table(read(given.results))
    print(shown)
    if given.into:
        put(shown, given.into)


if __name__ == "__main__":
    main()

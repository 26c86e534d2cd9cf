"""Which formats hold a network, tried as `export` tries them, and nothing is kept."""

import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from torchcrate.errors import ExportError
from torchcrate.export import choose, to_torchscript
from torchcrate.export.doctor.check import Check, State
from torchcrate.export.doctor.locate import LIMIT, quieted
from torchcrate.export.doctor.record import array, distance, tensors_in
from torchcrate.export.doctor.unlike import unlike
from torchcrate.export.findings import Format
from torchcrate.export.messages import parted
from torchcrate.export.sources import sources
from torchcrate.export.to_onnx import to_onnx
from torchcrate.export.words import frozen_words
from torchcrate.model.calling import call
from torchcrate.model.cases import generated
from torchcrate.model.eager import tensors
from torchcrate.model.spec import ModelSpec
from torchcrate.model.targets import is_installed

_TRIES: dict[str, Callable[[choose.Asked, Path], Format]] = {
    "torchscript": choose.torchscript,
    "onnx": choose.onnx,
}
_COMPILE = "let script hold, or decide with torch.where"
SECONDS = 3.0  # that a search for an input that a trace gets wrong may take
_FILES = {"torchscript": "model.pt", "onnx": "model.onnx"}


def source(spec: ModelSpec, target: str, taken: Sequence[str]) -> Check:
    """Say whether the eager program can build the network from files of its own."""
    try:
        found = sources(spec, target, taken)
    except ExportError as error:
        needed = "eager" in spec.formats
        return Check("eager", "fault" if needed else "note", f"left out: {error}")
    return Check("eager", "ok", f"built from {', '.join(found.files)}")


def tried(asked: choose.Asked, spec: ModelSpec, quick: bool, verbose: bool) -> list[Check]:
    """Try TorchScript and ONNX.

    Args:
        asked: The network, and what it is held against.
        spec: Says which formats there must be; with none named one of the two.
        quick: Without ONNX.
        verbose: Each fault with all that torch says.
    """
    names = [name for name in _TRIES if not (quick and name == "onnx")]
    with tempfile.TemporaryDirectory() as folder, quieted():
        found = {name: _TRIES[name](asked, Path(folder) / _FILES[name]) for name in names}
        needed = spec.needed
        none = not spec.formats and not any(form.way for form in found.values())
        return [
            _check(asked, form, name in needed or none, verbose) for name, form in found.items()
        ] + [
            Check(name, "note", "not tried, --quick leaves it out")
            for name in _TRIES
            if name not in names
        ]


def _check(asked: choose.Asked, form: Format, needed: bool, verbose: bool) -> Check:
    if form.way:
        trial = form.trials[-1]
        why = _short(form.trials[0].reason) if len(form.trials) > 1 else ""
        kept = _kept(asked) if form.way == "trace" else ""
        other = _other_answer(asked) if kept else ""
        what = f"by {trial.words()}{f'; {kept}' if kept else ''}"
        what += f", and is wrong: {other}" if other else ""
        what += f"; script does not hold: {why}" if why else ""
        state: State = "fault" if other else "note" if kept else "ok"
        return Check(form.name, state, what, "", _COMPILE if kept else "")
    whats, advice = list[str](), ""
    for trial in form.trials:
        reason, do = parted(trial.reason)
        more = [_baked(asked) if trial.way == "trace" else ""]
        more += [_kept(asked)] if "example's size" in reason else []
        words = "; ".join(filter(None, [reason, *more]))
        whats.append(f"{trial.way}: {words}" if len(form.trials) > 1 else words)
        advice = advice or do
    detail = "\n".join(_said(asked, trial.way) for trial in form.trials) if verbose else ""
    found: State = "fault" if needed else "note"
    return Check(form.name, found, f"cannot hold it: {'; '.join(whats)}", "", advice, detail)


def _short(reason: str) -> str:
    return reason if len(reason) < 200 else f"{reason[:200]}..."


def _kept(asked: choose.Asked) -> str:
    """Return what a trace keeps of its example, "" if it keeps nothing or cannot be made."""
    try:
        made = to_torchscript.make(asked.module, asked.contract, "trace", asked.example)
    except Exception:  # what it says is in the trial's reason
        return ""
    # Layers of torch check sizes in passing; what they keep is true of every input they take.
    return frozen_words([one for one in made.frozen if not is_installed(one.file)])


def _other_answer(asked: choose.Asked) -> str:
    """Return at which of many more inputs a trace with kept decisions is off, "" if at none."""
    made = to_torchscript.make(asked.module, asked.contract, "trace", asked.example)
    until = time.monotonic() + SECONDS
    for name, case in unlike(asked.contract):
        if not _holds(asked, made.module, case):
            return f"it does not answer like eager at {name}"
        if time.monotonic() > until:
            break
    return ""


def _baked(asked: choose.Asked) -> str:
    """Return which axis a trace is bound to, and its size; "" if to none."""
    right: dict[str, set[int]] = {axis: set() for axis in asked.contract.free}
    wrong: dict[str, set[int]] = {axis: set() for axis in asked.contract.free}
    try:
        made = to_torchscript.make(asked.module, asked.contract, "trace", asked.example)
    except Exception:  # what it says is in the trial's reason
        return ""
    example = {name: one.numpy() for name, one in asked.example.items()}
    for case in (example, *generated(asked.contract).values()):
        holds = _holds(asked, made.module, case)
        for spec in asked.contract.inputs:
            for axis, size in zip(spec.axes, case[spec.name].shape, strict=True):
                if isinstance(axis, str):
                    (right if holds else wrong)[axis].add(int(size))
    bound = [
        f"{axis} is baked in, right at {min(sizes)} only"
        for axis, sizes in right.items()
        if len(sizes) == 1 and wrong[axis] - sizes
    ]
    return "; ".join(bound)


def _holds(asked: choose.Asked, made: torch.nn.Module, case: Mapping[str, Any]) -> bool:
    names = [given.name for given in asked.contract.inputs]
    try:
        with torch.inference_mode():
            want = call(asked.module, names, tensors(case, names))
            got = list(tensors_in(made(*tensors(case, names))))
    except Exception:  # what it says is in the trial's reason
        return False
    off = [distance(array(one), array(other)) for one, other in zip(want, got, strict=True)]
    return all(each is not None and each <= LIMIT for each in off)


def _said(asked: choose.Asked, way: str) -> str:
    """Return all that torch says when a way is tried once more."""
    try:
        if way == "onnx":
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "model.onnx"
                to_onnx(asked.module, asked.contract, path, asked.example)
        else:
            to_torchscript.make(
                asked.module,
                asked.contract,
                "script" if way == "script" else "trace",
                asked.example,
            )
    except Exception as error:  # it is what was asked for
        return f"--- {way}\n{''.join(traceback.format_exception(error))}"
    return ""

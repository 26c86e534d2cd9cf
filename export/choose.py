"""Each way of making a format is tried against eager, on inputs that making it never saw."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from torchcrate.errors import CrateError, ExportError, ParityError
from torchcrate.export import decisions, to_torchscript
from torchcrate.export.asking import LARGE, Ask, asking
from torchcrate.export.behaviour import undisturbed
from torchcrate.export.capture import captured
from torchcrate.export.doctor.locate import locate
from torchcrate.export.findings import Format, Trial
from torchcrate.export.place import Place
from torchcrate.export.rounding import rounding
from torchcrate.export.to_onnx import to_onnx
from torchcrate.export.words import frozen_words, reason_of
from torchcrate.model.contract import Contract
from torchcrate.model.spec import Answers, Cases
from torchcrate.model.tolerance import difference, spread

# Seconds of work; to find the layer that is off takes about as much as making the format did.
_PATIENCE = 30.0
# How many times eager's own rounding a runtime may be off that adds in another order.
ROUNDINGS = 4


@dataclass(frozen=True)
class Asked:
    """What every candidate is held against.

    Attributes:
        module: The network as exported, in eval mode.
        contract: Its inputs and outputs.
        example: What a trace may see, by the name of the input.
        cases: What it never saw.
        want: Eager's answer to each case, those of `wide` among them.
        limits: The largest difference for each runtime.
        wide: More cases, at which a candidate may be off by rounding.
    """

    module: nn.Module
    contract: Contract
    example: Mapping[str, Tensor]
    cases: Cases
    want: Mapping[str, Answers]
    limits: Mapping[str, float]
    wide: Cases = field(default_factory=dict)


def torchscript(asked: Asked, path: Path) -> Format:
    """Write model.pt in the first way that holds, and say what was tried.

    Script goes before trace: it keeps every branch of the code.
    """
    started, trials = time.monotonic(), list[Trial]()
    for way in to_torchscript.WAYS:
        trial = _tried(way, partial(_torchscript, asked, way, path))
        trials.append(trial)
        if trial.holds:
            break
    return _format("torchscript", trials, started, (path,))


def onnx(asked: Asked, path: Path) -> Format:
    """Write model.onnx if it holds, and say what was tried."""
    started = time.monotonic()
    trial = _tried("onnx", lambda: _onnx(asked, path))
    return _format("onnx", [trial], started, (path, path.with_name(f"{path.name}.data")))


def _format(name: str, trials: list[Trial], started: float, files: tuple[Path, ...]) -> Format:
    seconds = time.monotonic() - started
    last = trials[-1]
    if last.holds:
        reason = trials[0].reason if len(trials) > 1 else ""
        size = sum(file.stat().st_size for file in files if file.exists())
        return Format(name, last.way, reason, tuple(trials), seconds, size)
    for file in files:
        file.unlink(missing_ok=True)
    # Where neither way holds, both reasons are true, and the one is often the other's.
    reasons = dict.fromkeys(f"{trial.way}: {trial.reason}" for trial in trials)
    reason = "; ".join(reasons) if len(trials) > 1 else last.reason
    return Format(name, "", reason, tuple(trials), seconds)


def _tried(way: str, attempt: Callable[[], Trial]) -> Trial:
    try:
        return attempt()
    except MemoryError:
        raise
    except Exception as error:  # torch, ONNX and their compilers raise kinds of their own
        if isinstance(error, CrateError) and not isinstance(error, ExportError | ParityError):
            raise
        return Trial(way, False, reason_of(error))


def _torchscript(asked: Asked, way: to_torchscript.Way, path: Path) -> Trial:
    started = time.process_time()
    made = to_torchscript.make(asked.module, asked.contract, way, asked.example)
    frozen = made.frozen
    if way == "trace":
        _require_undecided(asked, frozen)
    to_torchscript.save(made, asked.contract, path)
    with asking("torchscript", asked.contract, path) as ask:
        limit = asked.limits["torchscript"]
        return _held(way, asked, ask, limit, frozen_words(frozen), started)


def _require_undecided(asked: Asked, frozen: Sequence[to_torchscript.Frozen]) -> None:
    """Refuse a trace that keeps a decision, even one that no case would show.

    Raises:
        ExportError: Naming the lines.
    """
    given = asked.module, asked.contract, asked.example
    places = decisions.by_value(*given)
    # A list or an array of a tensor leaves no trace among torch's operators.
    places |= {Place(one.file, one.line) for one in frozen if re.search("list|NumPy", one.what)}
    if places:
        raise ExportError(decisions.by_value_words(places))
    if any("boolean" in one.what for one in frozen):
        try:
            captured(*given)
        except Exception as error:  # of torch.export, whose reason is the trace's
            raise ExportError(f"{frozen_words(frozen)}; {reason_of(error)}") from error


def _onnx(asked: Asked, path: Path) -> Trial:
    started = time.process_time()
    to_onnx(asked.module, asked.contract, path, asked.example)
    with asking("onnx", asked.contract, path) as ask:
        return _held("onnx", asked, ask, asked.limits["onnx"], "", started)


def _held(
    way: str,
    asked: Asked,
    ask: Ask,
    limit: float,
    cause: str,
    started: float,
) -> Trial:
    """Hold a candidate against eager on every case.

    Args:
        way: How it was made.
        asked: The cases, and eager's answers.
        ask: Returns the candidate's answer to one case.
        limit: The largest difference allowed.
        cause: What is the likely reason if it is off, "" if none is known.
        started: When `time.process_time` began to count what making it took.
    """
    worst, at = 0.0, ""
    because = f"; {cause}" if cause else ""
    every = {**asked.cases, **asked.wide}
    for case, inputs in every.items():
        try:
            got = ask(inputs)
        except Exception as error:  # each runtime raises kinds of its own
            return Trial(way, False, f"it fails at {case}: {reason_of(error)}{because}")
        if len(got) != len(asked.want[case]):
            count = f"{len(got)} answers, not {len(asked.want[case])}"
            return Trial(way, False, f"it gives {count} at {case}{because}")
        for name, one in zip(asked.want[case], got, strict=True):
            try:
                off = difference(one, asked.want[case][name])
            except ParityError as error:
                why = because + _why_off(way, asked, inputs, limit, started)
                return Trial(way, False, f"{name} at {case}: {error}{why}")
            most = float(off.max()) if off.size else 0.0
            too_far = not most <= limit
            if too_far and case in asked.wide and _rounded(asked, inputs, name, most):
                continue
            if not most <= worst:
                worst, at = most, f"{name} at {case}"
            if too_far:
                off_by = _off_by(asked.want[case][name], most)
                why = because + _why_off(way, asked, inputs, limit, started, (name, most))
                return Trial(
                    way,
                    False,
                    f"{at} {off_by}, allowed are {limit:.1e}{why}",
                    len(every),
                    None if np.isnan(most) else most,
                )
    return Trial(way, True, _weakness(asked, limit), len(every), worst)


def _why_off(
    way: str,
    asked: Asked,
    inputs: Mapping[str, Any],
    limit: float,
    started: float,
    off: tuple[str, float] | None = None,
) -> str:
    """Return that it is off by rounding, or which layer is the first to differ: the end of a line.

    Args:
        way: How the candidate was made.
        asked: What it is held against.
        inputs: At which it is off.
        limit: The largest difference allowed.
        started: When `time.process_time` began to count what making it took.
        off: Which output, and by how much; None if not by a number.

    Returns:
        "" if nothing is found, or the network is so large or slow that one has to wait for it.
    """
    if _large(asked) or time.process_time() - started > _PATIENCE:
        return ""
    if off and (own := _rounded(asked, inputs, *off)):
        return (
            f"; by rounding: eager's own answer is off by {own:.1e} from the one in float64, "
            "allow more in `tolerances`"
        )
    given = asked.module, asked.contract, inputs
    try:
        with undisturbed(asked.module):
            spot = locate(*given, way, example=asked.example, limit=limit)
    except MemoryError:  # that it is off is known all the same
        return ""
    return f"; first to differ is {spot}" if spot else ""


def _rounded(asked: Asked, inputs: Mapping[str, Any], name: str, most: float) -> float:
    """Return by how much eager's own output `name` is off, if that explains `most`; else 0."""
    own = 0.0 if _large(asked) else rounding(asked.module, asked.contract, inputs).get(name, 0.0)
    return own if own * ROUNDINGS >= most else 0.0


def _large(asked: Asked) -> bool:
    size: int = sum(one.nbytes for one in asked.module.state_dict().values())
    return size > LARGE


def _weakness(asked: Asked, limit: float) -> str:
    """Return why it proves little that the answers agree, "" if it proves something."""
    told = spread(asked.want[case] for case in asked.cases)
    if told > limit:
        return ""
    return (
        f"that proves little: the answers hardly depend on the inputs, they differ by {told:.1e} "
        "only; load trained weights, or name samples that the network tells apart"
    )


def _off_by(want: NDArray[Any], most: float) -> str:
    if not np.isnan(most):
        return f"is off by {most:.1e}"
    if np.isnan(want).any():
        return "is NaN, as eager's own answer is"
    return "is not finite where eager is" if np.isfinite(want).all() else "is off by infinity"

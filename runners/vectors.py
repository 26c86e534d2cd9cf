"""Tensors to answers, and golden vectors replayed; mirrors vectors.cpp.

A safetensors file holds cases: `NAME`, or `CASE.NAME` for as many as one likes,
NAME being one of the contract's inputs, and of its outputs where answers are given.
"""

import json
import math
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from contract import TensorSpec
from runtime import CONTRACT, PARITY, RUNNER, Array, Model, RunError, reason


def answer_tensors(model: Model, source: Path, target: str) -> None:
    """Answer every case of the safetensors file `source` into `target`.

    Args:
        model: Of the crate.
        source: What is asked.
        target: No Path: that drops a slash at the end, which no file has.

    Raises:
        RunError: If a tensor breaks the contract, or a file cannot be read or written.
    """
    target = target or "."
    if os.path.isdir(target):  # it has no name that ".partial" could be put behind
        raise RunError(RUNNER, f"cannot write {target}: is a directory")
    tensors, _ = _read_tensors(source)
    answers: dict[str, Array] = {}
    for case, given in _cases(model.contract.inputs, tensors).items():
        for spec, answer in zip(model.contract.outputs, model.answer(given), strict=True):
            answers[case + spec.name] = np.asarray(answer, order="C")
    try:
        _write(target, safetensors.numpy.save(answers))
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RunError(RUNNER, f"cannot write {target}: {reason(error)}") from error


def _write(target: str, data: bytes) -> None:
    """Write a file whole or not at all; what is none, a device, a pipe or a link, is written into.

    Raises:
        OSError: If that is not possible.
    """
    if os.path.lexists(target) and not stat.S_ISREG(os.lstat(target).st_mode):
        Path(target).write_bytes(data)
        return
    partial = Path(f"{target}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(target)
    except OSError:
        with suppress(OSError):  # the first error is the one to tell
            partial.unlink()
        raise


def selftest(limited: str, model: Model, golden: Path, variant: str = "") -> str:
    """Replay the golden vectors and return the line that says how close the answers are.

    Labels of a variant may flip; how often, its figures say.

    Raises:
        RunError: If an answer is off or a label flips beyond the limit that `golden` states
            for `limited`, the runtime or where it is not the CPU the device.
    """
    tensors, metadata = _read_tensors(golden)
    limit = _limit_of(variant, golden) if variant else _limit(limited, metadata, golden)
    wanted = _cases(model.contract.outputs, tensors)
    inputs = _cases(model.contract.inputs, tensors)
    worst, where, flips = 0.0, next(iter(wanted)).rstrip("."), 0
    for case, want in wanted.items():
        if case not in inputs:
            required = [spec.name for spec in model.contract.inputs if not spec.optional]
            name = (required or [model.contract.inputs[0].name])[0]
            raise RunError(CONTRACT, f"tensor {case}{name} is missing")
        got = model.answer(inputs[case])
        off = float(np.max([_difference(*pair) for pair in zip(got, want, strict=True)]))
        if model.contract.labels and not variant:
            flips += _flips(got[0], want[0], limit)
        if math.isnan(off) or off > worst:
            worst, where = off, case.rstrip(".")
        if math.isnan(worst):
            break  # nothing is worse, and no later figure may hide it
    if flips or not worst <= limit:
        what = f"worst {worst:.1e} at {where}, limit {limit:.1e}, {flips} labels flipped"
        raise RunError(PARITY, f"selftest failed: {len(wanted)} vectors, {what}")
    return (
        f"selftest passed: {len(wanted)} vectors, worst {worst:.1e} at {where}, limit {limit:.1e}"
    )


def _limit(limited: str, metadata: dict[str, str], golden: Path) -> float:
    try:
        return float(json.loads(metadata["limits"])[limited])
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(CONTRACT, f"{golden} has no limit for {limited}") from error


def _limit_of(variant: str, golden: Path) -> float:
    """Return how far a variant may be off, as the figures beside the golden vectors state it."""
    figures = golden.with_name("variants.json")
    try:
        stated = json.loads(figures.read_bytes())["candidates"]
        return next(float(each["limit"]) for each in stated if each["name"] == variant)
    except (OSError, LookupError, ValueError, TypeError, StopIteration) as error:
        raise RunError(CONTRACT, f"{figures} has no limit for {variant}") from error


def _difference(got: Array, want: Array | None) -> float:
    """Return the largest |got - want| / (1 + |want|); NaN if anything is not comparable."""
    if want is None or got.shape != want.shape or got.dtype != want.dtype:
        return math.nan
    ours, theirs = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(invalid="ignore"):  # infinities, which differ by NaN unless they are equal
        off = np.abs(ours - theirs) / (1 + np.abs(theirs))
    worst = np.where(ours == theirs, 0, off).max(initial=0)
    return float(worst)  # NaN if any is


def _flips(got: Array, want: Array | None, limit: float) -> int:
    """Return how many labels differ, where the best led the second by over `limit`."""
    if want is None or got.shape != want.shape or not want.ndim or want.shape[-1] < 2:
        return 0
    theirs = want.astype(np.float64)
    ordered = np.sort(theirs, axis=-1)
    clear = ordered[..., -1] - ordered[..., -2] > limit
    return int(((got.argmax(-1) != theirs.argmax(-1)) & clear).sum())


def _cases(specs: Sequence[TensorSpec], tensors: dict[str, Array]) -> dict[str, list[Array | None]]:
    """Return the tensors of one side of the contract by case, "" or "CASE.".

    Raises:
        RunError: If there is no case, or one lacks a tensor that is not optional.
    """
    names = [spec.name for spec in specs]
    cases = sorted({case for key in tensors for case in [_case(key, names)] if case is not None})
    for case in cases:
        for spec in specs:
            if not spec.optional and case + spec.name not in tensors:
                raise RunError(CONTRACT, f"tensor {case}{spec.name} is missing")
    if not cases:
        found = ", ".join(tensors) or "none"
        raise RunError(CONTRACT, f"tensor {names[0]} is missing; found {found}")
    return {case: [tensors.get(case + name) for name in names] for case in cases}


def _case(key: str, names: Sequence[str]) -> str | None:
    """Return what stands before the longest of `names` that `key` ends in; None if in none."""
    ends = [name for name in names if key == name or key.endswith(f".{name}")]
    return key.removesuffix(max(ends, key=len)) if ends else None


def _read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    try:
        with open(path, "rb") as pipe:  # the system's own words on why not; safetensors has others
            if stat.S_ISFIFO(os.fstat(pipe.fileno()).st_mode):  # which cannot be mapped
                return safetensors.numpy.load(pipe.read()), {}
        with safetensors.safe_open(path, framework="numpy") as file:
            names = file.keys()  # it is no dict: iterating over it fails
            return {key: file.get_tensor(key) for key in names}, file.metadata() or {}
    except (KeyError, TypeError, AttributeError) as error:  # numpy lacks it
        line = f"cannot read {path} as safetensors: unknown dtype: {reason(error)}"
        raise RunError(CONTRACT, line) from error
    except (OSError, safetensors.SafetensorError, ValueError) as error:
        raise RunError(CONTRACT, f"cannot read {path} as safetensors: {reason(error)}") from error

"""Tensors to answers, and golden vectors replayed; mirrors vectors.cpp.

A safetensors file holds cases: `NAME`, or `CASE.NAME` for as many as one likes,
NAME being one of the contract's inputs, and of its outputs where answers are given.
"""

import json
import math
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from runtime import CONTRACT, PARITY, RUNNER, Array, Model, RunError, reason


def answer_tensors(model: Model, source: Path, target: Path) -> None:
    """Answer every case of the safetensors file `source` into `target`, which appears whole.

    Raises:
        RunError: If a tensor breaks the contract, or a file cannot be read or written.
    """
    if os.path.isdir(target):  # it has no name that ".partial" could be put behind
        raise RunError(RUNNER, f"cannot write {target}: is a directory")
    tensors, _ = _read_tensors(source)
    answers: dict[str, Array] = {}
    for case, given in _cases(model, tensors, "inputs").items():
        for spec, answer in zip(model.contract["outputs"], model.answer(given), strict=True):
            answers[case + spec["name"]] = answer
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_bytes(safetensors.numpy.save(answers))
        partial.replace(target)
    except OSError as error:
        with suppress(OSError):  # the first error is the one to tell
            partial.unlink()
        raise RunError(RUNNER, f"cannot write {target}: {reason(error)}") from error


def selftest(runtime: str, model: Model, golden: Path) -> str:
    """Replay the golden vectors and return the line that says how close the answers are.

    Raises:
        RunError: If an answer is off or a label flips beyond `runtime`'s limit in `golden`.
    """
    tensors, metadata = _read_tensors(golden)
    limit = _limit(runtime, metadata, golden)
    wanted = _cases(model, tensors, "outputs")
    inputs = _cases(model, tensors, "inputs")
    worst, where, flips = 0.0, next(iter(wanted)).rstrip("."), 0
    for case, want in wanted.items():
        if case not in inputs:
            raise RunError(
                CONTRACT, f"tensor {case}{model.contract['inputs'][0]['name']} is missing"
            )
        got = model.answer(inputs[case])
        off = max(_difference(one, other) for one, other in zip(got, want, strict=True))
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


def _limit(runtime: str, metadata: dict[str, str], golden: Path) -> float:
    try:
        return float(json.loads(metadata["limits"])[runtime])
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(CONTRACT, f"{golden} has no limit for {runtime}") from error


def _difference(got: Array, want: Array) -> float:
    """Return the largest |got - want| / (1 + |want|); NaN if anything is not comparable."""
    if got.shape != want.shape or not (np.isfinite(got).all() and np.isfinite(want).all()):
        return math.nan
    return float((np.abs(got - want) / (1 + np.abs(want))).max(initial=0))


def _flips(got: Array, want: Array, limit: float) -> int:
    """Return how many rows have another label, where the best led the second by over `limit`."""
    if got.shape != want.shape or want.ndim != 2 or want.shape[1] < 2:
        return 0
    ordered = np.sort(want, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > limit
    return int(((got.argmax(1) != want.argmax(1)) & clear).sum())


def _cases(model: Model, tensors: dict[str, Array], side: str) -> dict[str, list[Array]]:
    """Return the tensors of one side of the contract by case, "" or "CASE."; all must be whole."""
    names = [spec["name"] for spec in model.contract[side]]
    cases = sorted({key.removesuffix(names[0]) for key in tensors if _names(key, names[0])})
    for case in cases:
        missing = [case + name for name in names if case + name not in tensors]
        if missing:
            raise RunError(CONTRACT, f"tensor {missing[0]} is missing")
    if not cases:
        raise RunError(
            CONTRACT, f"tensor {names[0]} is missing; found {', '.join(tensors) or 'none'}"
        )
    return {case: [tensors[case + name] for name in names] for case in cases}


def _names(key: str, name: str) -> bool:
    return key == name or key.endswith("." + name)


def _read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    try:
        with open(path, "rb"):
            pass  # the system's own words on why not, as in C++; safetensors has others
        with safetensors.safe_open(path, framework="numpy") as file:
            names = file.keys()  # it is no dict: iterating over it fails
            return {key: file.get_tensor(key) for key in names}, file.metadata() or {}
    except (OSError, safetensors.SafetensorError, TypeError, AttributeError) as error:
        raise RunError(CONTRACT, f"cannot read {path} as safetensors: {reason(error)}") from error

"""Optimised variants held against eager: what they may lose, and whether a crate tells the truth.

A variant computes with fewer bits, so that its answers differ more than those of the formats. It
is right while what it is for is as good: labels, where there are any, else the numbers.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchcrate.errors import ContractError, ParityError, RunnerError
from torchcrate.export.artifact import Artifact
from torchcrate.files import reading
from torchcrate.model.contract import Contract
from torchcrate.model.spec import Answers, Cases
from torchcrate.model.tolerance import difference
from torchcrate.verify.drive import PYTHON, Program
from torchcrate.verify.figures import NAME, Deviation, Variant, Variants

Truth = Mapping[str, NDArray[Any]]
"""For each case with known labels their places, in the shape of the first output's labels."""

ROOM = 2.0  # a processor with other kernels rounds otherwise


@dataclass(frozen=True)
class Allowed:
    """What a variant may lose.

    Attributes:
        loss: Accuracy, as a share, where right labels are known.
        flipped: The share of labels that are not eager's, where no right ones are known.
        difference: The largest difference to eager's numbers, where there are no labels.
    """

    loss: float = 0.001
    flipped: float = 0.001
    difference: float = 0.02


def held_out(samples: Cases) -> tuple[Cases, Cases]:
    """Return samples to calibrate on and samples to measure on: by turns the one and the other."""
    names = list(samples)
    first, second = set(names[1::2]), set(names[::2])
    return (
        {name: samples[name] for name in names if name in first},
        {name: samples[name] for name in names if name in second},
    )


def deviation(
    want: Mapping[str, Answers],
    got: Mapping[str, Answers],
    contract: Contract,
    truth: Truth,
) -> Deviation:
    """Compare answers with eager's.

    Args:
        want: Eager's, by case and output.
        got: The variant's, for the same cases and perhaps others.
        contract: Whose first output has labels, if there are any.
        truth: The right labels of some cases.
    """
    first = contract.outputs[0].name
    worst, most, entries, flips = next(iter(want), ""), 0.0, 0, 0
    right, eager, known = 0, 0, 0
    for case, wanted in want.items():
        answered = got.get(case, {})
        off = max((_largest(answered.get(name), each) for name, each in wanted.items()), default=0)
        if not off <= most:  # NaN is worse than any number
            worst, most = case, off
        if not off < np.inf:
            return Deviation(len(want), 0, None, worst)
        if not contract.labels:
            continue
        said, meant = answered[first].argmax(-1), wanted[first].argmax(-1)
        entries += meant.size
        flips += int((said != meant).sum())
        if case in truth:
            known += truth[case].size
            right += int((said == truth[case]).sum())
            eager += int((meant == truth[case]).sum())
    return Deviation(
        len(want),
        entries,
        most,
        worst,
        flips / entries if entries else None,
        right / known if known else None,
        eager / known if known else None,
    )


def _largest(got: NDArray[Any] | None, want: NDArray[Any]) -> float:
    """Return the largest difference; infinity where there is nothing to compare, or NaN."""
    if got is None:
        return np.inf
    try:
        off = difference(got, want)
    except ParityError:
        return np.inf
    return float(np.where(np.isnan(off), np.inf, off).max(initial=0.0))


def refusal(found: Collection[Deviation], allowed: Allowed) -> str:
    """Return why a variant is too far from eager, "" if it is not."""
    for each in found:
        if each.maximum is None:
            return f"an answer at {each.worst} is missing or no number"
    judged = [each for each in found if each.accuracy is not None]
    for each in judged:
        lost = (each.eager or 0.0) - (each.accuracy or 0.0)
        if not lost <= allowed.loss + 1e-9:
            return f"loses {100 * lost:.2f} points of accuracy, {100 * allowed.loss:.2g} allowed"
    for each in () if judged else found:
        if each.flipped is not None and not each.flipped <= allowed.flipped:
            share = f"{100 * each.flipped:.2f} % of the labels change"
            return f"{share}, {100 * allowed.flipped:.2g} % allowed"
        if each.flipped is None and not (each.maximum or 0.0) <= allowed.difference:
            return f"difference {each.maximum:.1e}, {allowed.difference:.1e} allowed"
    return ""


def judge_variants(
    crate: Path,
    files: Collection[Artifact],
    judged: Mapping[str, str],
    contract: Contract,
    asked: Path,
    folder: Path,
    want: Mapping[str, Answers],
    truth: Truth,
) -> tuple[dict[str, Deviation], list[str]]:
    """Hold each variant of a crate to what variants.json states of it.

    Args:
        crate: The folder of the crate.
        files: Its files.
        judged: The sha256 of each file, by its name.
        contract: Of its model.
        asked: Holds the inputs.
        folder: Where programs write answers.
        want: Eager's answers.
        truth: The right labels of some cases.

    Returns:
        What was found by the variant's name, and a line for each that is not as stated.

    Raises:
        ContractError: If variants.json cannot be read, or states something else.
    """
    shipped = {file.name for file in files if file.role == "variant"}
    if not shipped:
        return {}, []
    stated = {each.file: each for each in _stated(crate, files).candidates if each.shipped}
    found, failures = {}, []
    for name in sorted(shipped):
        if name not in stated:
            raise ContractError(f"{NAME} states nothing of {name}: run 'torchcrate optimise' again")
        variant = stated[name]
        if variant.sha256 != judged[name]:
            failures.append(f"{name} is not the file that was measured: optimise again")
            continue
        try:
            got = program(crate, variant.name).answer(asked, folder)
        except RunnerError as error:
            failures.append(str(error))
            continue
        found[variant.name] = deviation(want, got, contract, truth)
        if why := worse(variant, found[variant.name]):
            failures.append(f"{name}: {why}")
    return found, failures


def program(crate: Path, variant: str) -> Program:
    """Return the crate's program for ONNX as it answers with a variant."""
    crate = crate.resolve()
    command = (*PYTHON, str(crate / "run_onnx.py"), "--variant", variant)
    return Program(f"onnx-{variant}", command, crate)


def worse(variant: Variant, found: Deviation) -> str:
    """Return what is worse than a crate states of its variant, "" if nothing is."""
    if found.maximum is None:
        return f"an answer at {found.worst} is missing or no number"
    if not found.maximum <= variant.limit:
        return f"difference {found.maximum:.1e} at {found.worst}, {variant.limit:.1e} stated"
    share = max((each.flipped or 0.0 for each in variant.found), default=0.0)
    flips = (found.flipped or 0.0) * found.entries
    if flips > ROOM * share * found.entries + 1:
        return f"{flips:.0f} of {found.entries} labels change, {100 * share:.2f} % stated"
    return refusal([found], Allowed()) if found.accuracy is not None else ""


def _stated(crate: Path, files: Collection[Artifact]) -> Variants:
    if not any(file.name == NAME for file in files):
        raise ContractError(f"{crate} has variants and no {NAME}: run 'torchcrate optimise' again")
    with reading(crate / NAME):
        return Variants.parse((crate / NAME).read_bytes())

"""Whether the answers of a network tell one input from another, and who forgets if not."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from torchcrate.export.behaviour import equal
from torchcrate.export.doctor.check import Check, listed
from torchcrate.export.doctor.locate import events
from torchcrate.export.doctor.record import Event, array, distance
from torchcrate.export.place import module_at, of_forward, part_of
from torchcrate.model.calling import call
from torchcrate.model.cases import example, one, sizes_in
from torchcrate.model.contract import Contract
from torchcrate.model.eager import tensors
from torchcrate.model.spec import Cases
from torchcrate.model.tolerance import spread


def variety(
    module: nn.Module,
    contract: Contract,
    cases: Cases,
    found: Mapping[str, Mapping[str, Any]],
    limit: float,
) -> Check:
    """Say whether the answers tell one input from another, so that a comparison can too.

    Args:
        module: The network.
        contract: Its inputs and outputs.
        cases: What it was asked.
        found: Its answers by case and output.
        limit: The largest difference that is allowed to an export.
    """
    for case, each in found.items():
        bad = [name for name, value in each.items() if np.isnan(value.astype(np.float64)).any()]
        if bad:
            where = _nan(module, contract, cases[case])
            return Check("variety", "fault", f"{bad[0]} is NaN at {case}", where)
    flat = {
        output.name: spread([{output.name: each[output.name]} for each in found.values()])
        for output in contract.outputs
    }
    still = [name for name, off in flat.items() if off <= limit]
    if still:
        return Check(
            "variety",
            "note",
            f"{listed(still)} varies by {flat[still[0]]:.1e} between inputs, allowed are "
            f"{limit:.1e}: any export would pass",
            _constant(module, contract),
            "give it trained weights, or samples that it tells apart",
        )
    idle = _idle(module, contract)
    if idle:
        return Check(
            "variety",
            "note",
            f"input {listed(idle)} changes no answer",
            do="leave it out of the contract: ONNX has no input that is not used",
        )
    least = min(flat.values())
    return Check("variety", "ok", f"answers vary by {least:.1e} or more between inputs")


def _pair(module: nn.Module, contract: Contract) -> list[list[Event]]:
    """Return what happens at two unlike inputs of one size."""
    names = [given.name for given in contract.inputs]
    sizes = sizes_in(contract, example(contract))
    return [events(module, names, one(contract, sizes, seed)) for seed in (1, 2)]


def _constant(module: nn.Module, contract: Contract) -> str:
    """Return the last part that gives the same to inputs that differ, "" if there is none."""
    here, there = _pair(module, contract)
    found, taken = "", dict[str, bool]()
    for one_, other in zip(here, there, strict=False):
        if one_.key != other.key:
            break
        pairs = zip(one_.tensors, other.tensors, strict=False)
        off = [distance(array(left), array(right)) for left, right in pairs]
        varies = any(each is None or not each <= 1e-6 for each in off)
        if one_.kind == "takes":
            taken[one_.path] = varies
        elif taken.get(one_.path) and not varies and off:
            inner = found and one_.path in ("", found.rpartition(".")[0])
            found = found if inner else one_.path
    return part_of(module, found, of_forward(module_at(module, found)) or "") if found else ""


def _nan(module: nn.Module, contract: Contract, inputs: Mapping[str, Any]) -> str:
    """Return the first part that answers one case with NaN, "" if there is none."""
    for event in events(module, [given.name for given in contract.inputs], inputs):
        if event.kind == "gives" and any(one.isnan().any() for one in event.tensors):
            place = of_forward(module_at(module, event.path))
            return part_of(module, event.path, place or event.line or "")
    return ""


def _idle(module: nn.Module, contract: Contract) -> list[str]:
    """Return the inputs that may be anything."""
    names = [given.name for given in contract.inputs]
    sizes = sizes_in(contract, example(contract))
    base, others = one(contract, sizes, 1), [one(contract, sizes, seed) for seed in (2, 5)]
    idle = []
    for name in names:
        with torch.inference_mode():
            want = call(module, names, tensors(base, names))
            got = [call(module, names, tensors({**base, name: o[name]}, names)) for o in others]
        if all(all(map(equal, answer, want)) for answer in got):
            idle.append(name)
    return idle

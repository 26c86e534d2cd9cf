"""Checks by asking the network itself: what it answers, twice, row by row, to other inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from torchcrate.errors import ContractError, ExportError
from torchcrate.export.behaviour import equal, undisturbed
from torchcrate.export.describe import completed
from torchcrate.export.doctor.check import Check, listed
from torchcrate.export.doctor.locate import LIMIT, events
from torchcrate.export.doctor.record import Event, array, distance, first_off
from torchcrate.export.doctor.watch import Act, Watched, watched
from torchcrate.export.place import in_traceback, module_at, of_forward, part_of
from torchcrate.model.calling import answer, flatten
from torchcrate.model.cases import example
from torchcrate.model.contract import Contract
from torchcrate.model.eager import answers, tensors
from torchcrate.model.spec import Cases


def outputs(module: nn.Module, contract: Contract, cases: Cases) -> tuple[Check, Contract]:
    """Find what is no tensor in an answer, and what breaks the contract.

    Returns:
        The check, and the contract with its outputs if there is no fault.
    """
    inputs = next(iter(cases.values()))
    names = [given.name for given in contract.inputs]
    where = part_of(module, "", of_forward(module) or "")
    try:
        with torch.inference_mode():
            found = answer(module, names, tensors(inputs, names))
    except Exception as error:  # the user's own code
        at = in_traceback(error)
        why = f"the network fails: {type(error).__name__}: {error}".partition("\n")[0]
        return Check("outputs", "fault", why, at.words() if at else where), contract
    try:
        flat = flatten(found)
    except TypeError as error:
        do = "return tensors alone: leave it out of the answer, or make a tensor of it"
        return Check("outputs", "fault", str(error), where, do), contract
    if not flat:
        return Check("outputs", "fault", "the answer holds no tensor", where), contract
    try:
        contract = completed(module, contract)
        for case in cases.values():
            answers(module, contract, {"the inputs made up": case})
    except (ContractError, ExportError) as error:
        return Check("outputs", "fault", str(error), where), contract
    words = ", ".join(output.words() for output in contract.outputs)
    return Check("outputs", "ok", words), contract


CALLS = 12  # at most, of a network that draws random numbers and does not differ yet


@dataclass(frozen=True)
class Twice:
    """Two equal calls.

    Attributes:
        first: What happened in the first.
        second: In the second.
        changed: The names of inputs that were changed by the first.
        state: The names of parameters, buffers and tensor attributes that were.
    """

    first: Watched
    second: Watched
    changed: list[str]
    state: list[str]


def twice(module: nn.Module, contract: Contract, inputs: Mapping[str, Any]) -> Twice:
    """Ask the same two times, and leave the network as it was.

    What draws random numbers is asked on until it differs: a dropout of a few may drop the same.
    """
    names = [given.name for given in contract.inputs]
    before = _held(module)
    given, kept = tensors(inputs, names), tensors(inputs, names)
    first = watched(module, names, given)
    changed = [
        name
        for name, one, other in zip(names, given, kept, strict=True)
        if one is not None and other is not None and not equal(one, other)
    ]
    after = _held(module)
    state = [path for path, one in after.items() if not equal(one, before.get(path))]
    second = watched(module, names, tensors(inputs, names))
    tries = CALLS if first.draws and not state else 0
    while tries and same(Twice(first, second, changed, state)):
        second, tries = watched(module, names, tensors(inputs, names)), tries - 1
    _put_back(module, before)
    return Twice(first, second, changed, state)


def in_place(asked: Twice) -> Check:
    """Say which input is changed by the network."""
    if not asked.changed:
        return Check("in-place", "ok", "no input is changed")
    name = asked.changed[0]
    act = _act(asked.first.to_inputs, name)
    by = f" by {act.operator}" if act else ""
    return Check(
        "in-place",
        "note",
        f"{listed(asked.changed)} {'is' if len(asked.changed) == 1 else 'are'} changed{by}: "
        "the caller's own tensor in torch, a copy in ONNX",
        act.where if act else "",
        f"work on a copy, {name} = {name}.clone(), or say {name} = {name} + 1 for {name} += 1",
    )


def random(module: nn.Module, asked: Twice) -> Check:
    """Say where two equal calls begin to differ, if they do and nothing was remembered."""
    if asked.state or same(asked):
        return Check("random", "ok", "two equal calls give equal answers")
    spot = _parts(asked)
    draw = next(iter(asked.first.draws), None)
    by = f": {draw.operator} draws random numbers" if draw else ""
    where = draw.where if draw else (spot.words(module) if spot else "")
    dropout = draw and ("dropout" in draw.operator or "bernoulli" in draw.operator)
    return Check(
        "random",
        "fault",
        f"two equal calls differ{by}",
        where,
        "let train mode alone draw: F.dropout(x, training=self.training)"
        if dropout
        else "take the random numbers as an input, or keep them in a buffer",
    )


def memory(module: nn.Module, asked: Twice) -> Check:
    """Say what of its state a call changes, and whether the next answer depends on it."""
    if not asked.state:
        return Check("memory", "ok", "a call changes nothing of the network")
    act = _act(asked.first.to_state, asked.state[0])
    where = act.where if act else _writer(module, asked.state[0])
    alike = same(asked)
    then = "the answers do not depend on it" if alike else "and the next answer depends on it"
    return Check(
        "memory",
        "note" if alike else "fault",
        f"a call changes {listed(asked.state)}, {then}",
        where,
        "" if alike else "take the state as an input and return it as an output",
    )


def unused(module: nn.Module, contract: Contract, cases: Cases, asked: Twice) -> Check:
    """Name parameters that no operator takes at any case: a branch that is rare takes some."""
    names = [given.name for given in contract.inputs]
    idle = [name for name, _ in module.named_parameters() if name not in asked.first.used]
    for inputs in cases.values() if idle else ():
        with undisturbed(module):
            used = watched(module, names, tensors(inputs, names)).used
        idle = [name for name in idle if name not in used]
    if not idle:
        return Check("unused", "ok", "every parameter is used")
    return Check(
        "unused",
        "note",
        f"{listed(idle)} {'is' if len(idle) == 1 else 'are'} used at none of {len(cases)} inputs",
        do="leave it out, if it is for training alone",
    )


def rows(module: nn.Module, contract: Contract) -> Check:
    """Say whether the answer to one row depends on the others in the batch."""
    axis = next(iter(contract.inputs[0].axes), "")
    tensors_all = (*contract.inputs, *contract.outputs)
    if not isinstance(axis, str) or not all(
        spec.axes[:1] == (axis,) and axis not in spec.axes[1:] for spec in tensors_all
    ):
        return Check("rows", "ok", "nothing is a batch")
    full = example(contract)
    single = {name: value[:1] for name, value in full.items()}
    names = [given.name for given in contract.inputs]
    try:
        want, got = events(module, names, single), events(module, names, full)
    except Exception:  # one row alone may be too few: `sizes` says so
        return Check("rows", "ok", "one row alone is not taken")
    count = len(next(iter(full.values())))
    spot = first_off(want, [(event.key, _first_row(event, count)) for event in got], LIMIT)
    if spot is None or not _end_differs(want, got):
        return Check("rows", "ok", "the answer to a row does not depend on the others")
    return Check(
        "rows",
        "note",
        f"the answer to one row depends on the others of its {axis}",
        spot.words(module),
        "compute along the other axes, unless that is meant",
    )


def _held(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of all tensors of a network, plain attributes too."""
    return {path: one.detach().clone() for path, _, _, one in _owned(module)}


def _owned(module: nn.Module) -> list[tuple[str, nn.Module, str, Tensor]]:
    found = []
    for path, part in module.named_modules():
        own = {**part._parameters, **part._buffers, **vars(part)}
        for name, value in own.items():
            if isinstance(value, Tensor):
                found.append((f"{path}.{name}" if path else name, part, name, value))
    return found


def _put_back(module: nn.Module, before: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for path, part, name, now in _owned(module):
            was = before.get(path)
            if was is None:
                delattr(part, name)
            elif now.shape != was.shape:
                setattr(part, name, was)
            elif not equal(now, was):
                now.copy_(was)


def same(asked: Twice) -> bool:
    """Return whether two equal calls gave equal answers."""
    pairs = zip(asked.first.answers, asked.second.answers, strict=False)
    return len(asked.first.answers) == len(asked.second.answers) and all(
        equal(one, other) for one, other in pairs
    )


def _parts(asked: Twice) -> Any:
    got = [(event.key, [array(one) for one in event.tensors]) for event in asked.second.events]
    return first_off(asked.first.events, got, 0.0)


def _act(acts: list[Act], name: str) -> Act | None:
    return next((act for act in acts if act.what == name), None)


def _writer(module: nn.Module, path: str) -> str:
    owner = path.rpartition(".")[0]
    place = of_forward(module_at(module, owner))
    return part_of(module, owner, place or "")


def _first_row(event: Event, count: int) -> list[Any]:
    return [array(one[:1] if one.ndim and one.shape[0] == count else one) for one in event.tensors]


def _end_differs(want: list[Event], got: list[Event]) -> bool:
    pairs = zip(want[-1].tensors, got[-1].tensors, strict=False)
    off = [distance(array(one), array(other[:1])) for one, other in pairs]
    return any(each is None or not each <= LIMIT for each in off)

"""A network can be exported if its answer depends on its inputs alone, and it leaves them alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchcrate.errors import ExportError
from torchcrate.export.place import module_at
from torchcrate.model.calling import call
from torchcrate.model.contract import Contract
from torchcrate.model.eager import tensors
from torchcrate.model.spec import Answers
from torchcrate.model.tolerance import difference

_REPEATS = 3  # calls with one input; what is drawn seldom may not show at the second


def require_function(
    module: nn.Module, contract: Contract, case: Mapping[str, Any], limit: float
) -> None:
    """Refuse a network that no file can answer for: before anything is exported.

    Args:
        module: In eval mode; its buffers are afterwards as they were.
        contract: With outputs.
        case: One input.
        limit: How far two answers to it may be apart.

    Raises:
        ExportError: If weights are NaN, an input is changed in place, or the same input has
            different answers, be it by chance or by what the network remembers.
    """
    if spoilt := _not_finite(module):
        raise ExportError(f"{spoilt}: load weights that are finite")
    if changed := changed_inputs(module, contract, case):
        raise ExportError(
            f"the network changes its input {changed[0]} in place: "
            f"let it work on a copy, {changed[0]}.clone()"
        )
    with undisturbed(module):
        _seeded(0)
        first = _answer(module, contract, case)
        for seed in range(1, 1 + _REPEATS):
            with undisturbed(module):
                drawn = _seeded(seed)
                again = _answer(module, contract, case)
                by_chance = not torch.equal(drawn, torch.get_rng_state())
            if by_chance and (off := _apart(contract, first, again, limit)):
                raise ExportError(
                    f"the network is random at inference, two calls with one input differ: {off}; "
                    "leave dropout to self.training, or take the noise as an input"
                )
        remembered = changed_buffers(module, contract, case)
        _seeded(0)  # what differs now does not by chance
        later = _answer(module, contract, case)
    if off := _apart(contract, first, later, limit):
        what = f"its buffer {remembered[0]}" if remembered else "something that is no buffer"
        raise ExportError(
            f"the network remembers its last call in {what}, two calls with one input differ: "
            f"{off}; make what it remembers an input and an output"
        )


def require_numbers(want: Mapping[str, Answers]) -> None:
    """Refuse answers of which nothing can be proved.

    Args:
        want: Eager's, by case.

    Raises:
        ExportError: If one holds NaN.
    """
    for case, answers in want.items():
        for name, answer in answers.items():
            if np.isnan(answer).any():
                raise ExportError(
                    f"the network's own answer {name} at {case} holds NaN, of which nothing can be "
                    "proved: say which values an input may have, 'in LOW..HIGH', or name samples"
                )


def changed_inputs(module: nn.Module, contract: Contract, case: Mapping[str, Any]) -> list[str]:
    """Return the names of the inputs that the network changes in place when it answers `case`."""
    names = [given.name for given in contract.inputs]
    given = tensors(case, names)
    before = [None if one is None else (one.clone(), one._version) for one in given]
    with undisturbed(module), torch.inference_mode():
        call(module, names, given)
    return [
        name
        for name, one, old in zip(names, given, before, strict=True)
        if one is not None and old is not None
        # The version tells of a change that this very input does not show.
        if one._version != old[1] or not equal(one, old[0])
    ]


def changed_buffers(module: nn.Module, contract: Contract, case: Mapping[str, Any]) -> list[str]:
    """Return the names of the buffers that the network changes as it answers; they stay changed."""
    before = _copied(module)
    _answer(module, contract, case)
    after = dict(module.named_buffers())
    return [name for name, value in before.items() if not equal(value, after.get(name))]


@contextmanager
def undisturbed(module: nn.Module) -> Iterator[None]:
    """Put every buffer back to what it was, and the random numbers with them."""
    before = _copied(module)
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            with torch.no_grad():
                for name, value in before.items():
                    _put_back(module, name, value)


def _copied(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.named_buffers()}


def _put_back(module: nn.Module, name: str, value: Tensor) -> None:
    owner, _, last = name.rpartition(".")
    part = module_at(module, owner)
    now = getattr(part, last)
    if not isinstance(now, Tensor) or now.is_inference() or now.shape != value.shape:
        setattr(part, last, value.clone())
    elif not equal(now, value):
        now.copy_(value)


def equal(one: Tensor, other: Tensor | None) -> bool:
    """Return whether two tensors hold the same; NaN is like NaN."""
    if other is None or one.shape != other.shape or one.dtype != other.dtype:
        return False
    if torch.equal(one, other):
        return True
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _seeded(seed: int) -> Tensor:
    """Let chance begin anew on the CPU, where networks are judged; return its state."""
    return torch.default_generator.manual_seed(seed).get_state()


def _answer(module: nn.Module, contract: Contract, case: Mapping[str, Any]) -> list[Tensor]:
    names = [given.name for given in contract.inputs]
    with torch.inference_mode():
        return [one.clone() for one in call(module, names, tensors(case, names))]


def _apart(contract: Contract, one: list[Tensor], other: list[Tensor], limit: float) -> str:
    """Return which output differs by how much, "" if none does."""
    for spec, left, right in zip(contract.outputs, one, other, strict=True):
        if left.shape != right.shape:
            return f"{spec.name} has shape {tuple(left.shape)}, then {tuple(right.shape)}"
        off = difference(right.numpy(), left.numpy())
        if off.size and float(np.nan_to_num(off).max()) > limit:
            return f"{spec.name} by {np.nan_to_num(off).max():.1e}"
    return ""


def _not_finite(module: nn.Module) -> str:
    """Return which weights are not finite; in buffers infinities are masks."""
    for name, weight in module.named_parameters():
        if weight.is_floating_point() and not bool(weight.isfinite().all()):
            return f"parameter {name} holds NaN or infinity"
    for name, buffer in module.named_buffers():
        if buffer.is_floating_point() and bool(buffer.isnan().any()):
            return f"buffer {name} holds NaN"
    return ""

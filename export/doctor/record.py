"""What every part of a network takes and gives in one call, in the order in which it happens."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from torchcrate.export.place import Place, here, module_at, of_forward, part_of

LARGEST = 2**30  # bytes of tensors that are kept of one call; what comes after is not recorded


@dataclass(frozen=True)
class Event:
    """A part of the network is called, or answers.

    Attributes:
        path: The part, as `named_modules` names it; "" for the whole network.
        kind: Whether these are its inputs or its answer.
        inside: The part whose `forward` calls it.
        line: Where the user's code calls it, None if no line of it does.
        tensors: Copies, in order.
        call: Copies of positional and keyword arguments, for one that takes.
    """

    path: str
    kind: Literal["takes", "gives"]
    inside: str
    line: Place | None
    tensors: tuple[Tensor, ...]
    call: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})

    @property
    def key(self) -> tuple[str, str]:
        """What two recordings of the same road have in common at one place."""
        return self.path, self.kind


@dataclass
class Recording:
    """The events of a call so far, and the parts that are running, outermost first."""

    events: list[Event] = field(default_factory=list)
    running: list[str] = field(default_factory=list)
    size: int = 0

    @property
    def inside(self) -> str:
        """The innermost part that is running."""
        return self.running[-1] if self.running else ""


@contextmanager
def recording(module: nn.Module) -> Iterator[Recording]:
    """Record every call of a part of `module` while the block runs."""
    found = Recording()
    with ExitStack() as stack:
        for path, part in module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                continue
            before, after = _hooks(found, path)
            stack.callback(part.register_forward_pre_hook(before, with_kwargs=True).remove)
            stack.callback(part.register_forward_hook(after, with_kwargs=True).remove)
        yield found


def _hooks(found: Recording, path: str) -> tuple[Callable[..., None], Callable[..., None]]:
    def before(part: nn.Module, args: Any, kwargs: Any) -> None:
        _keep(found, path, "takes", (args, kwargs))
        found.running.append(path)

    def after(part: nn.Module, args: Any, kwargs: Any, answer: Any) -> None:
        while found.running and found.running.pop() != path:
            pass  # a part that raised and was caught
        _keep(found, path, "gives", answer)

    return before, after


def _keep(found: Recording, path: str, kind: Literal["takes", "gives"], value: Any) -> None:
    if found.size > LARGEST:
        return
    copied = _copied(value)
    tensors = tuple(tensors_in(copied))
    counts = [(one.numel(), one.element_size()) for one in tensors]
    # In an export the sizes are symbols, and to compare those would bind the graph to them.
    found.size += sum(count * size for count, size in counts if type(count) is int)
    call = copied if kind == "takes" else ((), {})
    found.events.append(Event(path, kind, found.inside, here(), tensors, call))


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists, mappings and dataclasses, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for each in dataclasses.fields(value):
            yield from tensors_in(getattr(value, each.name))


def _copied(value: Any) -> Any:
    """Return `value` with its tensors copied, for code that changes them in place later."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_copied, value))
    if isinstance(value, tuple | list):
        return type(value)(map(_copied, value))
    if type(value) in (dict,):
        return {key: _copied(part) for key, part in value.items()}
    if isinstance(value, Mapping) or dataclasses.is_dataclass(value):
        return tuple(one.clone() for one in tensors_in(value))
    return value


@dataclass(frozen=True)
class Spot:
    """Where two calls of one network part.

    Attributes:
        path: The part whose own `forward` makes the difference.
        largest: The largest difference |got - want| / (1 + |want|); None if they differ otherwise.
        line: Where in that `forward`, as far as it is known.
    """

    path: str
    largest: float | None
    line: Place | None

    def words(self, module: nn.Module) -> str:
        """Return the part, its class and where it is written: `body.1 (Branch) at net.py:24`."""
        place = of_forward(module_at(module, self.path)) or self.line
        at = self.line if self.line and place and self.line.file == place.file else place
        off = f" by {self.largest:.1e}" if self.largest else ""
        return f"{part_of(module, self.path, at.words() if at else '')}{off}"


def first_off(
    want: Sequence[Event], got: Sequence[tuple[tuple[str, str], Sequence[Any]]], limit: float
) -> Spot | None:
    """Return where two recordings of a network begin to differ.

    A part that gives another answer to the same inputs makes the difference itself; where it is
    called with other inputs, it is made by the `forward` that calls it.

    Args:
        want: Of eager.
        got: For each event of the other its key, and its tensors as numpy arrays.
        limit: The largest |got - want| / (1 + |want|) that is no difference.
    """
    for event, (key, tensors) in zip(want, got, strict=False):
        maker = event.path if event.kind == "gives" else event.inside
        line = event.line if event.kind == "takes" else None
        if key != event.key:
            return Spot(event.inside, None, event.line)
        if len(tensors) != len(event.tensors):
            return Spot(maker, None, line)
        off = [distance(array(one), two) for one, two in zip(event.tensors, tensors, strict=True)]
        if any(one is None or not one <= limit for one in off):
            known = [one for one in off if one is not None and not np.isnan(one)]
            return Spot(maker, max(known, default=None), line)
    return None


def distance(want: Any, got: Any) -> float | None:
    """Return the largest |got - want| / (1 + |want|) of two arrays; None if their shapes differ.

    NaN and infinities are no difference where both have them.
    """
    if want.shape != got.shape:
        return None
    one, other = np.asarray(got, np.float64), np.asarray(want, np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(one - other) / (1 + np.abs(other))
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    return float(np.where(same, 0.0, off).max(initial=0.0))


def array(tensor: Tensor) -> Any:
    """Return a tensor as numpy has it: bfloat16 as float32, complex as pairs."""
    tensor = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().numpy()

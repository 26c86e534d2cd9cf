"""Every operator of one call, as far as it draws random numbers, writes or reads weights."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from torchcrate.export.doctor.record import Event, Recording, recording, tensors_in
from torchcrate.export.place import here, part_of
from torchcrate.model.calling import call


@dataclass(frozen=True)
class Act:
    """An operator did something that an export may not do.

    Attributes:
        what: The name of the tensor that it wrote; "" where it drew random numbers.
        operator: Say `aten.add_`.
        where: The part of the network and the line, `body.1 (Noise) at net.py:41`.
    """

    what: str
    operator: str
    where: str


@dataclass(frozen=True)
class Watched:
    """One call of a network.

    Attributes:
        answers: Its answer, flat.
        events: What its parts took and gave.
        draws: Operators that drew random numbers.
        to_inputs: Operators that wrote into an input.
        to_state: Operators that wrote into a parameter or a buffer.
        used: The names of the parameters and buffers that any operator took.
    """

    answers: list[Tensor]
    events: list[Event]
    draws: list[Act]
    to_inputs: list[Act]
    to_state: list[Act]
    used: set[str]


def watched(module: nn.Module, names: Sequence[str], given: Sequence[Tensor | None]) -> Watched:
    """Call a network once and say what its operators did; `given` may be changed by it."""
    inputs = {name: one for name, one in zip(names, given, strict=True) if one is not None}
    with recording(module) as found:
        mode = _Mode(module, inputs, found)
        # Not inference mode: there dropout is one operator, be it on or off.
        with torch.no_grad(), mode:
            answers = call(module, names, given)
    return Watched(answers, found.events, mode.draws, mode.to_inputs, mode.to_state, mode.used)


class _Mode(TorchDispatchMode):
    def __init__(self, module: nn.Module, inputs: Mapping[str, Tensor], found: Recording) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types for it
        self._module, self._found = module, found
        self._inputs = _places(inputs.items())
        self._state = _places(_state(module))
        self.draws: list[Act] = []
        self.to_inputs: list[Act] = []
        self.to_state: list[Act] = []
        self.used: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        answer = func(*args, **kwargs)
        for tensor in tensors_in((args, kwargs)):
            self.used.update(self._state.get(_place(tensor), ()))
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.draws.append(self._act("", func))
        if func._schema.is_mutable:
            self._writes(func, args, kwargs)
        return answer

    def _writes(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        for number, argument in enumerate(func._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            value = args[number] if number < len(args) else kwargs.get(argument.name)
            for tensor in tensors_in((value,)):
                place = _place(tensor)
                for name in self._inputs.get(place, ()):
                    self.to_inputs.append(self._act(name, func))
                for name in self._state.get(place, ()):
                    self.to_state.append(self._act(name, func))

    def _act(self, what: str, func: Callable[..., Any]) -> Act:
        operator = str(func).removesuffix(".default")
        return Act(what, operator, part_of(self._module, self._found.inside, here() or ""))


def _state(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(remove_duplicate=False)
    yield from module.named_buffers(remove_duplicate=False)


def _places(tensors: Any) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for name, tensor in tensors:
        if place := _place(tensor):
            found.setdefault(place, []).append(name)
    return found


def _place(tensor: Tensor) -> int:
    """Return where the memory of a tensor begins, 0 if it has none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):  # quantized, sparse or without values
        return 0

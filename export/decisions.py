"""Where a network decides by what its inputs hold: a trace would keep one decision for ever.

torch warns of every number that a trace makes of a tensor, be it of a size that the contract
fixes or of the input's own values. The latter are found here, for no choice of inputs can show
that a frozen decision never matters.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules import transformer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from torchcrate.export.place import Place
from torchcrate.model import calling
from torchcrate.model.calling import call
from torchcrate.model.contract import Contract
from torchcrate.model.targets import is_installed

_PLAIN = (
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.equal.default,
    torch.ops.aten._nested_tensor_from_mask_left_aligned.default,
)
"""Operators that give a plain number or bool."""

_OURS = (Path(__file__).parent, Path(calling.__file__).parent)


def by_value(module: nn.Module, contract: Contract, example: Mapping[str, Tensor]) -> set[Place]:
    """Return where `module` makes plain numbers of what its inputs hold, answering `example`."""
    names = [given.name for given in contract.inputs]
    given = [example[name].clone() if name in example else None for name in names]
    with torch.no_grad(), masks_as_given(), _Watch(given) as watch:
        call(module, names, given)
    places: set[Place] = watch.places
    return places


@contextmanager
def masks_as_given() -> Iterator[None]:
    """Let the encoders and decoders of torch take each mask as it is.

    They look through its values whether it is causal, as attention may then be computed quicker:
    the answer is the same.
    """
    found = transformer._detect_is_causal_mask
    transformer._detect_is_causal_mask = lambda mask, is_causal=None, size=None: is_causal is True
    try:
        yield
    finally:
        transformer._detect_is_causal_mask = found


def by_value_words(places: Iterable[Place]) -> str:
    """Return that a network decides by values, with the lines at which it does."""
    lines = sorted(place.words() for place in places)
    at = f" at {', '.join(lines)}" if lines else ""
    return (
        f"it decides by the values of its input{at}, and one decision would be kept for ever: "
        "use torch.where, or only what TorchScript can compile"
    )


class _Watch(TorchDispatchMode):
    """Follows what is computed from some tensors, memory by memory."""

    def __init__(self, given: Sequence[Tensor | None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch has no types for it
        self.places: set[Place] = set()
        # A weak reference keeps an address from being given anew, and no memory.
        self.known: dict[int, StorageWeakRef] = {}
        for tensor in given:
            if tensor is not None:
                self._know(tensor)

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        answer = func(*args, **(kwargs or {}))
        taken = list(_tensors((args, kwargs or {})))
        if any(self._knows(tensor) for tensor in taken):
            if func in _PLAIN:
                self.places.add(_place())
            for tensor in _tensors(answer):
                self._know(tensor)
            for tensor in _written(func, args):
                self._know(tensor)
        return answer

    def _knows(self, tensor: Tensor) -> bool:
        # What is sparse or nested has no one memory; it is rare, and comes from some input.
        return tensor.layout != torch.strided or tensor.untyped_storage()._cdata in self.known

    def _know(self, tensor: Tensor) -> None:
        if tensor.layout != torch.strided:
            return
        storage = tensor.untyped_storage()
        self.known.setdefault(storage._cdata, StorageWeakRef(storage))


def _tensors(values: object) -> Iterator[Tensor]:
    return (each for each in tree_leaves(values) if isinstance(each, Tensor))


def _written(func: Any, args: tuple[Any, ...]) -> Iterator[Tensor]:
    """Yield the tensors that an operator writes into."""
    for stated, value in zip(func._schema.arguments, args, strict=False):
        if stated.alias_info is not None and stated.alias_info.is_write:
            yield from _tensors(value)


def _place() -> Place:
    """Return the line of the user's code that runs, or else of whose code it is."""
    frame: FrameType | None = sys._getframe(1)
    others = []
    while frame is not None:
        place = Place(frame.f_code.co_filename, frame.f_lineno)
        if not is_installed(place.file) and Path(place.file).parent not in _OURS:
            return place
        others.append(place)
        frame = frame.f_back
    return others[0]

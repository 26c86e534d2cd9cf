"""A network is called with tensors by name, and whatever it returns becomes a list of tensors.

Imports torch and the standard library alone: the file ships beside the eager runner.
"""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn


def call(module: nn.Module, names: Sequence[str], tensors: Sequence[Tensor | None]) -> list[Tensor]:
    """Return the answer of `module` as `flatten` orders it, without the paths.

    Args:
        module: The network.
        names: Of its inputs, in the contract's order.
        tensors: One for each name; None for an optional one that is absent.

    Raises:
        TypeError: If `forward` does not take these inputs, or a leaf is no tensor.
    """
    return [tensor for _, tensor in flatten(answer(module, names, tensors))]


def answer(module: nn.Module, names: Sequence[str], tensors: Sequence[Tensor | None]) -> Any:
    """Return what `module` itself returns to inputs as `call` takes them.

    The first `leading` inputs go by position, the others by keyword.

    Raises:
        RuntimeError: If it would end the program.
    """
    count = leading(module, names)
    try:
        return module(*tensors[:count], **dict(zip(names[count:], tensors[count:], strict=True)))
    except SystemExit as end:
        raise RuntimeError("it ends the program").with_traceback(end.__traceback__) from end


def flatten(value: object) -> list[tuple[str, Tensor]]:
    """Return the tensors in an answer in order, each with the Python path that leads to it.

    Args:
        value: A tensor; or a tuple, list, NamedTuple, mapping or dataclass of such, nested.

    Returns:
        Paths like `[0]`, `['scores']`, `.field` or `[0]['boxes']`; "" for a bare tensor.

    Raises:
        TypeError: If a leaf is no tensor.
    """
    return list(_leaves("", value))


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
        return
    if isinstance(value, Mapping):
        parts = [(f"[{key!r}]", part) for key, part in value.items()]
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        parts = [(f".{name}", getattr(value, name)) for name in names]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = [(f".{name}", part) for name, part in zip(value._fields, value, strict=True)]
    elif isinstance(value, tuple | list):
        parts = [(f"[{index}]", part) for index, part in enumerate(value)]
    else:
        raise TypeError(f"answer{path} is {type(value).__qualname__}, not a tensor")
    for step, part in parts:
        yield from _leaves(path + step, part)


def leading(module: nn.Module, names: Sequence[str]) -> int:
    """Return how many of the inputs `names` go to `forward` by position.

    They do while `forward` has at that place a parameter of their name, or does not know
    their name; from the first other one on (a parameter was left out, the order differs, or it
    is keyword-only) all go by keyword. Behind a Sequential, the first of its modules tells.
    """
    while isinstance(module, nn.Sequential) and len(module):
        module = module[0]
    function = getattr(module.forward, "__func__", None)
    return _leading(function or module.forward, tuple(names), function is not None)


@functools.lru_cache(maxsize=64)
def _leading(forward: Callable[..., Any], names: tuple[str, ...], method: bool) -> int:
    if method:  # of any object: its first parameter, whatever its name, is none of the inputs
        forward = types.MethodType(forward, object())
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):  # compiled, without a signature
        return len(names)
    kinds = [parameter.kind for parameter in parameters]
    by_keyword = {
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    places = [
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    endless = inspect.Parameter.VAR_POSITIONAL in kinds
    for index, name in enumerate(names):
        place = places[index] if index < len(places) else None
        if (place is None and not endless) or (place != name and name in by_keyword):
            return index
    return len(names)

"""The outputs of a network, worked out by asking it; what a spec says of them is held to it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchcrate.errors import ContractError, ExportError
from torchcrate.export.words import reason_of
from torchcrate.model.calling import flatten, leading
from torchcrate.model.cases import example, generated
from torchcrate.model.contract import DTYPES, Contract, Sizes, TensorSpec


def completed(module: nn.Module, contract: Contract) -> Contract:
    """Return `contract` with the outputs that `module` has, if it names none.

    An axis is free if its size differs between calls of different sizes; it has the name of the
    input's axis that has the same size in all of them, or else OUTPUT_PLACE.

    Raises:
        ExportError: If the network fails, answers with something that is no tensor, or with
            other tensors from call to call.
        ContractError: If an answer has a dtype that cannot cross the border.
    """
    if contract.outputs:
        return contract
    cases = _unlike(contract)
    sizes = [_named(contract, case) for case in cases]
    asked = [_answer(module, contract, case) for case in cases]
    for case, given in zip(cases[1:], asked[1:], strict=True):
        _require_alike(asked[0], given, cases[0], case)
    outputs = []
    for number, (path, first) in enumerate(asked[0]):
        name = _name(path, number, len(asked[0]), {given.name for given in contract.inputs})
        dtype = str(first.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            raise ContractError(
                f"output {name} is {dtype}, which is none of {', '.join(DTYPES)}: "
                "cast it inside the network"
            )
        axes: list[int | str] = []
        for place in range(first.ndim):
            found = [given[number][1].shape[place] for given in asked]
            same = [axis for axis in contract.free if [size.get(axis) for size in sizes] == found]
            fixed = len(set(found)) == 1
            axes.append(found[0] if fixed else (same[0] if same else f"{name}_{place}"))
        outputs.append(TensorSpec(name, dtype, tuple(axes)))
    own = {axis for answer in outputs for axis in answer.axes if isinstance(axis, str)}
    reckoned = {axis: Sizes(0) for axis in own - set(contract.free)}
    return replace(
        contract, outputs=tuple(outputs), sizes={**contract.sizes, **dict(sorted(reckoned.items()))}
    )


def _answer(
    module: nn.Module, contract: Contract, case: Mapping[str, Any]
) -> list[tuple[str, Tensor]]:
    names = [given.name for given in contract.inputs]
    count = leading(module, names)
    given = [torch.from_numpy(np.array(case[n])) if n in case else None for n in names]
    try:
        with torch.inference_mode():
            answer = module(*given[:count], **dict(zip(names[count:], given[count:], strict=True)))
        return flatten(answer)
    except Exception as error:  # the user's own code
        raise ExportError(f"the network fails on {_shapes(case)}: {reason_of(error)}") from error


def _shapes(case: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {np.shape(value)}" for name, value in case.items())


def _name(path: str, number: int, count: int, taken: set[str]) -> str:
    """Return a name for an output: the key or field that holds it, else its number."""
    words = [word for word in path.replace("']", "").replace("['", ".").split(".") if word]
    last = words[-1] if words else ""
    if last.isidentifier() and last not in taken:
        return "_".join(word for word in words if word.isidentifier())
    return "output" if count == 1 else f"output_{number}"


def _unlike(contract: Contract) -> list[dict[str, Any]]:
    """Return the example, a case of other sizes throughout, and for each free axis one more."""
    whole = [case for case in generated(contract).values() if len(case) == len(contract.inputs)]
    plain = _named(contract, whole[0])
    chosen = {"": whole[0]}
    for case in whole:
        changed = [axis for axis, size in _named(contract, case).items() if size != plain[axis]]
        if changed and 0 not in _named(contract, case).values():
            chosen[changed[0]] = case
    return [example(contract), *chosen.values()]


def _require_alike(
    one: list[tuple[str, Tensor]],
    other: list[tuple[str, Tensor]],
    first: Mapping[str, Any],
    second: Mapping[str, Any],
) -> None:
    """Refuse a network that answers two inputs with tensors of another number or kind.

    Raises:
        ExportError: Saying which.
    """
    kinds = [[(path, str(t.dtype), t.ndim) for path, t in each] for each in (one, other)]
    if kinds[0] == kinds[1]:
        return
    words = [
        f"{len(each)} answers" if len(one) != len(other) else
        ", ".join(f"answer{path} {dtype} of {rank} axes" for path, dtype, rank in each)
        for each in kinds
    ]
    raise ExportError(
        f"the network gives {words[0]} on {_shapes(first)} and {words[1]} on {_shapes(second)}: "
        "let it give the same number and kinds of tensors, stacked or padded"
    )


def _named(contract: Contract, case: Mapping[str, Any]) -> dict[str, int]:
    """Return the size of each free axis in a case."""
    return {
        axis: size
        for given in contract.inputs
        if given.name in case
        for axis, size in zip(given.axes, np.shape(case[given.name]), strict=True)
        if isinstance(axis, str)
    }

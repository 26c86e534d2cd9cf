"""The outputs of a network, worked out by asking it; what a spec says of them is held to it."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
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

    An axis is free if its size differs between two calls of different sizes; it has the name of
    the input's axis that has the same size in both.

    Raises:
        ExportError: If the network fails, or answers with something that is no tensor, or with
            other tensors or axes from one call to the next.
        ContractError: If an answer has a dtype that cannot cross the border.
    """
    if contract.outputs:
        return contract
    first = example(contract)
    cases = list(generated(contract).values())
    second = next((case for case in cases if _sizes(case) != _sizes(first)), first)
    one, other = _answer(module, contract, first), _answer(module, contract, second)
    sizes = [_named(contract, case) for case in (first, second)]
    kinds = [
        [f"answer{path} of {each.dim()} axes" for path, each in found] for found in (one, other)
    ]
    for once, again in zip_longest(*kinds, fillvalue="nothing"):
        if once != again:
            raise ExportError(
                f"the network returns {once} to one input and {again} to another: "
                "return the same tensors with the same axes to all"
            )
    outputs: list[TensorSpec] = []
    for number, ((path, left), (_, right)) in enumerate(zip(one, other, strict=True)):
        taken = {each.name for each in (*contract.inputs, *outputs)}
        name = _name(path, number, len(one), taken)
        dtype = str(left.dtype).removeprefix("torch.")
        if dtype not in DTYPES:
            raise ContractError(
                f"output {name} is {dtype}, which is none of {', '.join(DTYPES)}: "
                "cast it inside the network"
            )
        axes: list[int | str] = []
        for place, (here, there) in enumerate(zip(left.shape, right.shape, strict=True)):
            same = [
                axis
                for axis in contract.free
                if (sizes[0].get(axis), sizes[1].get(axis)) == (here, there) and here != there
            ]
            axes.append(same[0] if same else (here if here == there else f"{name}_{place}"))
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
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in case.items())
        raise ExportError(f"the network fails on {shapes}: {reason_of(error)}") from error


def _name(path: str, number: int, count: int, taken: set[str]) -> str:
    """Return a name for an output: the key or field that holds it, else its number."""
    words = [word for word in path.replace("']", "").replace("['", ".").split(".") if word]
    last = words[-1] if words else ""
    named = "_".join(word for word in words if word.isidentifier())
    if last.isidentifier() and named not in taken:
        return named
    name = "output" if count == 1 else f"output_{number}"
    while name in taken:
        name += "_"
    return name


def _sizes(case: Mapping[str, Any]) -> list[tuple[int, ...]]:
    return [np.shape(value) for value in case.values()]


def _named(contract: Contract, case: Mapping[str, Any]) -> dict[str, int]:
    """Return the size of each free axis in a case."""
    return {
        axis: size
        for given in contract.inputs
        if given.name in case
        for axis, size in zip(given.axes, np.shape(case[given.name]), strict=True)
        if isinstance(axis, str)
    }

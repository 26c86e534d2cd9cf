"""The outputs of a network, worked out by asking it; what a spec says of them is held to it."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import dropwhile, zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from torchcrate.errors import ContractError, ExportError
from torchcrate.export.words import reason_of
from torchcrate.model.calling import answer, flatten
from torchcrate.model.cases import example, generated, sizes_in
from torchcrate.model.contract import DTYPES, RESERVED, Contract, Sizes, TensorSpec
from torchcrate.model.eager import tensors


def completed(module: nn.Module, contract: Contract) -> Contract:
    """Return `contract` with the outputs that `module` has, if it names none.

    An axis is free if its size differs between calls of different sizes; it has the name of the
    input's axis that has the same size in all of them, or else OUTPUT_PLACE.

    Raises:
        ExportError: If the network fails, or answers with something that is no tensor, or with
            other tensors or axes from one call to the next.
        ContractError: If an answer has a dtype that cannot cross the border, or there are more or
            fewer labels than the first output has numbers.
    """
    if contract.outputs:
        return _labelled(contract)
    sizes, asked = list[dict[str, int]](), list[list[tuple[str, Tensor]]]()
    for number, case in enumerate(_unlike(contract)):
        try:
            asked.append(_answer(module, contract, case))
        except ExportError:
            if number < 2:  # of more there need not be an answer
                raise
            continue
        sizes.append(sizes_in(contract, case))
        _require_alike(asked[0], asked[-1])
    outputs: list[TensorSpec] = []
    for number, (path, first) in enumerate(asked[0]):
        taken = {each.name for each in (*contract.inputs, *outputs)}
        name = _name(path, number, len(asked[0]), taken)
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
    return _labelled(
        replace(
            contract,
            outputs=tuple(outputs),
            sizes={**contract.sizes, **dict(sorted(reckoned.items()))},
        )
    )


def _labelled(contract: Contract) -> Contract:
    """Return `contract` if it has as many labels as its first output has places."""
    count, first = len(contract.labels), contract.outputs[0]
    last = first.axes[-1] if first.axes else 1
    if count and isinstance(last, int) and last != count:
        raise ContractError(f"there are {count} labels, and output {first.name} has {last} numbers")
    return contract


def _answer(
    module: nn.Module, contract: Contract, case: Mapping[str, Any]
) -> list[tuple[str, Tensor]]:
    names = [given.name for given in contract.inputs]
    try:
        with torch.inference_mode():
            return flatten(answer(module, names, tensors(case, names)))
    except Exception as error:  # the user's own code
        raise ExportError(f"the network fails on {_shapes(case)}: {reason_of(error)}") from error


def _shapes(case: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {np.shape(value)}" for name, value in case.items())


def _name(path: str, number: int, count: int, taken: set[str]) -> str:
    """Return a name for an output: from the first key or field on what holds it, else its number.

    The answer['boxes'][1] is boxes_1, and so is answer[0]['boxes'][1].
    """
    steps = re.findall(r"\w+", path) if re.fullmatch(r"(\['\w+'\]|\[\d+\]|\.\w+)*", path) else []
    named = "_".join(dropwhile(str.isdigit, steps))
    if named.isidentifier() and named not in taken | set(RESERVED):
        return named
    name = "output" if count == 1 else f"output_{number}"
    while name in taken:
        name += "_"
    return name


def _unlike(contract: Contract) -> list[dict[str, Any]]:
    """Return the example, a case of other sizes throughout, and for each free axis one more."""
    whole = [case for case in generated(contract).values() if len(case) == len(contract.inputs)]
    plain = sizes_in(contract, whole[0])
    chosen = {"": whole[0]}
    for case in whole:
        changed = [axis for axis, size in sizes_in(contract, case).items() if size != plain[axis]]
        if changed and 0 not in sizes_in(contract, case).values():
            chosen[changed[0]] = case
    return [example(contract), *chosen.values()]


def _require_alike(one: list[tuple[str, Tensor]], other: list[tuple[str, Tensor]]) -> None:
    """Refuse a network that answers two inputs with tensors of another number or kind.

    Raises:
        ExportError: Saying which.
    """
    kinds = [
        [f"answer{path} of {each.dim()} axes" for path, each in found] for found in (one, other)
    ]
    for once, again in zip_longest(*kinds, fillvalue="nothing"):
        if once != again:
            raise ExportError(
                f"the network returns {once} to one input and {again} to another: "
                "return the same tensors with the same axes to all"
            )

"""How much of a difference may be rounding: the network's own answer against itself in float64."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from torchcrate.export.behaviour import undisturbed
from torchcrate.model.calling import call
from torchcrate.model.contract import Contract
from torchcrate.model.eager import tensors
from torchcrate.model.tolerance import difference


def rounding(module: nn.Module, contract: Contract, inputs: Mapping[str, Any]) -> dict[str, float]:
    """Return how far each output is from what it is if all is computed in float64.

    No runtime that computes in the network's own precision can be expected to be nearer to it.

    Args:
        module: The network; its buffers are afterwards as they were.
        contract: Its inputs and outputs.
        inputs: One case, numpy arrays by name.

    Returns:
        The largest |own - exact| / (1 + |exact|) by output; {} if the network cannot compute so.
    """
    names = [given.name for given in contract.inputs]
    given = tensors(inputs, names)
    try:
        with undisturbed(module), torch.inference_mode():
            own = call(module, names, given)
            exact = call(copy.deepcopy(module).double(), names, [_wide(one) for one in given])
        off = [
            difference(_wide(one).numpy(), _wide(other).numpy())
            for one, other in zip(own, exact, strict=True)
        ]
    except Exception:  # a dtype that stands in its code, say; what it raises tells nothing
        return {}
    return {
        spec.name: float(each.max(initial=0.0))
        for spec, each in zip(contract.outputs, off, strict=True)
    }


def _wide(tensor: Tensor | None) -> Any:
    return tensor.double() if tensor is not None and tensor.is_floating_point() else tensor

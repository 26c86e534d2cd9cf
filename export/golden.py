"""Golden vectors: inputs with the answers that every runtime on every machine must give."""

import json

import numpy as np
import safetensors.numpy
import torch
from torch import nn

from torchcrate.errors import ExportError
from torchcrate.model.samples import PATTERNS, SIZES, Pixels, drawings, pattern
from torchcrate.model.spec import Spec

LIMIT_BYTES = 2_000_000  # a crate is pulled often


def golden(module: nn.Module, spec: Spec) -> bytes:
    """Return golden.safetensors: for each case `CASE.image` and `CASE.log_probs`.

    The names after the dot are the contract's. The file's metadata holds one entry,
    `limits`: JSON of the largest allowed difference |got - want| / (1 + |want|) for
    each runtime.

    Args:
        module: The network as exported, in eval mode.
        spec: Whose contract and limits to write.

    Raises:
        ExportError: If they are larger than `LIMIT_BYTES`.
    """
    (given,), (answered,) = spec.contract.inputs, spec.contract.outputs
    tensors: dict[str, np.ndarray] = {}
    with torch.inference_mode():
        for case, image in _cases().items():
            tensors[f"{case}.{given.name}"] = image
            tensors[f"{case}.{answered.name}"] = module(torch.from_numpy(image)).numpy()
    data = safetensors.numpy.save(tensors, {"limits": json.dumps(spec.limits)})
    if len(data) > LIMIT_BYTES:
        raise ExportError(
            f"the golden vectors take {len(data)} bytes, the limit is {LIMIT_BYTES}: "
            "let the network answer with less"
        )
    return data


def _cases() -> dict[str, Pixels]:
    """Return small batches of patterns in every size, and the drawings, by name."""
    cases: dict[str, Pixels] = {}
    for name, image in drawings().items():
        cases[f"drawing-{name.removesuffix('.png')}"] = image
    for height, width in SIZES:
        batch = 1 if height * width > 100_000 else 2
        for name in PATTERNS if height * width < 10_000 else ("strokes",):
            images = pattern(name, batch, height, width)
            cases[f"{name}-{batch}x{height}x{width}"] = images
    return cases

"""Once imported, torch's ONNX exporter makes its table of operators once, not for each export.

Making it is about half of exporting a small network, and tests export many.
"""

import functools

import onnxscript  # noqa: F401 - what every export imports
import torch.export._trace  # noqa: F401
from torch.onnx._internal.exporter._registration import ONNXRegistry

_made = functools.cache(ONNXRegistry.from_torchlib)


def _copy(opset_version: int) -> ONNXRegistry:
    """Return a table of its own to an export, which adds to it."""
    made = _made(opset_version=opset_version)
    registry = ONNXRegistry()
    registry._opset_version = made.opset_version
    registry.functions = {target: [*known] for target, known in made.functions.items()}
    return registry


ONNXRegistry.from_torchlib = staticmethod(_copy)
_copy(20)  # that of `torchcrate.export.to_onnx`

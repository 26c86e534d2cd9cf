"""A network becomes model.onnx: one file, free axes free, with its contract inside."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import onnx
import torch
from torch import Tensor, nn

from torchcrate.errors import ExportError
from torchcrate.export import canonical
from torchcrate.export.to_torchscript import require_eval
from torchcrate.model.contract import Contract, TensorSpec

OPSET = 20
_EXAMPLE_SIZES = (3, 57, 91, 5, 7)  # of free axes, in turn: all different and none 0 or 1


def to_onnx(module: nn.Module, contract: Contract) -> bytes:
    """Return `module` as one ONNX file, the same bytes on every machine.

    Args:
        module: In eval mode throughout.
        contract: Names inputs, outputs and free axes; stored as metadata `contract`.

    Raises:
        ExportError: If a part is in train mode, ONNX cannot hold the network, or the
            result is invalid, has other axes than the contract, or needs a side file.
    """
    require_eval(module)
    axes = {axis for spec in contract.inputs for axis in spec.axes if isinstance(axis, str)}
    free = {axis: torch.export.Dim(axis, min=1) for axis in sorted(axes)}
    try:
        with _quiet():
            program = torch.onnx.export(
                module,
                tuple(_example(spec) for spec in contract.inputs),
                input_names=[spec.name for spec in contract.inputs],
                output_names=[spec.name for spec in contract.outputs],
                dynamic_shapes=tuple(
                    {i: free[axis] for i, axis in enumerate(spec.axes) if isinstance(axis, str)}
                    for spec in contract.inputs
                ),
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ExportError(f"ONNX cannot hold {type(module).__name__}: {reason}") from error
    assert program is not None
    model = program.model_proto
    _check(model, contract)
    return canonical.graph(model, contract.dump())


def _example(spec: TensorSpec) -> Tensor:
    """Return a seeded tensor that fits `spec`; the graph's axes stay free all the same."""
    sizes = iter(_EXAMPLE_SIZES)
    shape = [next(sizes) if isinstance(axis, str) else axis for axis in spec.axes]
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 256, shape, generator=generator)
    return values.to(getattr(torch, spec.dtype))


def _check(model: onnx.ModelProto, contract: Contract) -> None:
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported ONNX graph is invalid: {error}") from error
    if any(tensor.external_data for tensor in model.graph.initializer):
        raise ExportError("the exported ONNX graph needs a side file; it must be one file")
    values = [*model.graph.input, *model.graph.output]
    for spec, value in zip([*contract.inputs, *contract.outputs], values, strict=True):
        dims = value.type.tensor_type.shape.dim
        axes = tuple(dim.dim_param or dim.dim_value for dim in dims)
        if (value.name, axes) != (spec.name, spec.axes):
            raise ExportError(
                f"ONNX has {value.name}{axes} where the contract has {spec.name}{spec.axes}: "
                "an axis was frozen at the example's size"
            )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's progress notes, and a warning of torch at torch, off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.", FutureWarning)
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)

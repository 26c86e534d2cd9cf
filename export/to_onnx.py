"""A network becomes model.onnx: free axes free, with its contract inside.

Weights of gigabytes, which no single ONNX file can hold, lie in model.onnx.data beside it.
"""

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir
import torch
from torch import Tensor, nn

from torchcrate.errors import ExportError
from torchcrate.export import canonical, decisions
from torchcrate.export.to_torchscript import require_eval
from torchcrate.files import whole, write_whole, writing
from torchcrate.model.contract import Contract
from torchcrate.model.targets import is_installed, said, short

OPSET = 20
LARGEST = 1_800_000_000  # bytes of weights in one file; protobuf ends at 2 GiB


def to_onnx(
    module: nn.Module, contract: Contract, path: Path, example: Mapping[str, Tensor]
) -> tuple[Path, ...]:
    """Write `module` as ONNX, the same bytes on every machine.

    Args:
        module: In eval mode throughout.
        contract: Names inputs, outputs and free axes; stored as metadata `contract`.
        path: The file to write; where the weights are too many, NAME.data beside it too.
        example: Tensors by the name of the input; no free axis has 0 or 1.

    Returns:
        The files that were written, the graph first.

    Raises:
        ExportError: If a part is in train mode, an input is optional, or the result has
            other axes than the contract. What torch raises is the cause or comes as it is.
        FolderError: If the file cannot be written.
    """
    require_eval(module)
    optional = [given.name for given in contract.inputs if given.optional]
    if optional:
        raise ExportError(
            f"ONNX has no optional inputs and {optional[0]} is one: "
            "make it required, and give a neutral value where it is not known"
        )
    program = _exported(module, contract, example)
    weights = sum(value.const_value.nbytes for value in _initializers(program.model))
    if weights <= LARGEST:
        model = program.model_proto
        _state_outputs(model, contract)
        _check(model, contract)
        write_whole(path, canonical.graph(model, contract.dump()))
        return (path,)
    return _with_side_file(program.model, contract, path)


def _exported(
    module: nn.Module, contract: Contract, example: Mapping[str, Tensor]
) -> torch.onnx.ONNXProgram:
    names = [given.name for given in contract.inputs]
    program = decisions.program(module, contract, example)
    known = decisions.decided(program, contract)
    with decisions.quiet():
        try:
            converted = torch.onnx.export(
                program,
                input_names=names,
                output_names=[answer.name for answer in contract.outputs],
                dynamic_shapes=decisions.free_shapes(contract),
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ExportError(_missing(program, str(error)) or _last_cause(error)) from error
    assert converted is not None
    # Converting takes operators apart, which may decide by sizes again.
    decisions.require_undecided(program, contract, known)
    return converted


def _missing(program: torch.export.ExportedProgram, text: str) -> str:
    """Return which operator ONNX lacks and which line of the user's code asks for it, or ""."""
    found = re.search(r"No ONNX function found for <OpOverload\(op='(\w+)\.(\w+)'", text)
    if not found:
        return ""
    name = f"{found[1]}.{found[2]}"
    lines: list[tuple[str, str]] = []
    for node in program.run_decompositions().graph.nodes:
        if str(node.target).startswith(name):
            lines = re.findall(r'File "([^"]+)", line (\d+)', node.meta.get("stack_trace", ""))
            break
    own = [place for place in lines if not is_installed(place[0])] or lines
    at = f" at {short(own[-1][0])}:{own[-1][1]}" if own else ""
    return f"ONNX has no operator for {found[2].strip('_')}{at}: write it with others, or do without ONNX"


def _last_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return said(error)


def _initializers(model: onnx_ir.Model) -> Iterator[Any]:
    return (value for value in model.graph.initializers.values() if value.const_value is not None)


def _with_side_file(model: onnx_ir.Model, contract: Contract, path: Path) -> tuple[Path, ...]:
    """Write graph and weights apart; the weights go through no message of protobuf."""
    data = path.with_name(f"{path.name}.data")
    with writing(path), tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        raw = Path(scratch) / path.name
        onnx_ir.save(model, raw, external_data=data.name)
        graph = onnx.load(raw, load_external_data=False)
        _state_outputs(graph, contract)
        _check(graph, contract, checked=raw)
        raw.with_name(data.name).replace(data)
    with whole(path) as file:
        file.write(canonical.graph(graph, contract.dump()))
    return path, data


def _check(model: onnx.ModelProto, contract: Contract, checked: Path | None = None) -> None:
    """Refuse a graph that is invalid or that froze an axis.

    Args:
        model: The graph.
        contract: What its inputs and outputs must be.
        checked: Where it lies with its side file, if it has one.
    """
    try:
        onnx.checker.check_model(str(checked) if checked else model, full_check=checked is None)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported ONNX graph is invalid: {error}") from error
    found = [value.name for value in (*model.graph.input, *model.graph.output)]
    wanted = [spec.name for spec in (*contract.inputs, *contract.outputs)]
    if found != wanted:
        raise ExportError(
            f"ONNX has inputs and outputs {', '.join(found)}, the contract {', '.join(wanted)}: "
            "an input that the network does not use cannot be in the contract"
        )
    for spec, value in zip(contract.inputs, model.graph.input, strict=True):
        dims = value.type.tensor_type.shape.dim
        axes = tuple(dim.dim_param or dim.dim_value for dim in dims)
        if axes != spec.axes:
            raise ExportError(
                f"ONNX has {value.name}{axes} where the contract has {spec.name}{spec.axes}: "
                "an axis was frozen at the example's size"
            )


def _state_outputs(model: onnx.ModelProto, contract: Contract) -> None:
    """Let the graph say of its outputs what the contract does, where it says something else.

    Of a loop's answers torch writes down the example's sizes, though the loop goes on; whether
    an axis is really free is asked of the graph. One that is reckoned keeps its formula.
    """
    changed = False
    for spec, value in zip(contract.outputs, model.graph.output, strict=False):
        dims = value.type.tensor_type.shape.dim
        for dim, axis in zip(dims, spec.axes, strict=False):
            if isinstance(axis, int) and dim.dim_value != axis:
                dim.dim_value, changed = axis, True
            elif isinstance(axis, str) and not dim.dim_param:
                dim.dim_param, changed = axis, True
    if changed:
        del model.graph.value_info[:]  # what is said of values inside may be as wrong

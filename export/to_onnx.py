"""A network becomes model.onnx: free axes free, with its contract inside.

Weights of gigabytes, which no single ONNX file can hold, lie in model.onnx.data beside it.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir
import torch
from torch import Tensor, nn

from torchcrate.errors import ExportError
from torchcrate.export import canonical, capture, eights
from torchcrate.export.recurrent import TRANSLATIONS, unrolled_never
from torchcrate.export.to_torchscript import require_eval
from torchcrate.files import whole, write_whole, writing
from torchcrate.model.contract import Contract

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
        eights.fill(model)
        _check(model, contract)
        write_whole(path, canonical.graph(model, contract.dump()))
        return (path,)
    return _with_side_file(program.model, contract, path)


def _exported(
    module: nn.Module, contract: Contract, example: Mapping[str, Tensor]
) -> torch.onnx.ONNXProgram:
    names = [given.name for given in contract.inputs]
    program = capture.captured(module, contract, example)
    _tame_log_sigmoid(program.graph)
    capture.require_free_answers(program, contract)
    known = capture.decided(program, contract)
    with unrolled_never(), capture.quiet():
        converted = torch.onnx.export(
            program,
            input_names=names,
            output_names=[answer.name for answer in contract.outputs],
            dynamic_shapes=capture.free_shapes(contract),
            opset_version=OPSET,
            external_data=False,
            verbose=False,
            custom_translation_table=TRANSLATIONS,
        )
    assert converted is not None
    # Converting takes operators apart, which may decide by sizes again.
    capture.require_undecided(program, contract, since=max(known, 1))
    return converted


def _tame_log_sigmoid(graph: torch.fx.Graph) -> None:
    """Write log_sigmoid(x) as -softplus(-x): the log of a sigmoid that has become 0 is -inf."""
    aten = torch.ops.aten
    for node in graph.find_nodes(op="call_function", target=aten.log_sigmoid.default):
        with graph.inserting_before(node):
            last = node.args[0]
            for operator in (aten.neg.default, aten.softplus.default, aten.neg.default):
                last = graph.call_function(operator, (last,))
                last.meta = dict(node.meta)
        node.replace_all_uses_with(last)
        graph.erase_node(node)


def _initializers(model: onnx_ir.Model) -> Iterator[Any]:
    return (value for value in model.graph.initializers.values() if value.const_value is not None)


def _with_side_file(model: onnx_ir.Model, contract: Contract, path: Path) -> tuple[Path, ...]:
    """Write graph and weights apart; the weights go through no message of protobuf."""
    data = path.with_name(f"{path.name}.data")
    with writing(path), tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        raw = Path(scratch) / path.name
        onnx_ir.save(model, raw, external_data=data.name)
        graph = onnx.load(raw, load_external_data=False)
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
    _state_axes(model, contract)
    try:
        onnx.checker.check_model(str(checked) if checked else model, full_check=checked is None)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported ONNX graph is invalid: {error}") from error


def _state_axes(model: onnx.ModelProto, contract: Contract) -> None:
    """Write the contract's axes to the outputs, and forget those of what lies between.

    torch notes for some operators, LSTM among them, the sizes of the example, though the graph
    itself takes any. Whether it does is for those to find out who ask it.
    """
    del model.graph.value_info[:]
    for spec, value in zip(contract.outputs, model.graph.output, strict=True):
        shape = value.type.tensor_type.shape
        shape.Clear()
        for axis in spec.axes:
            dim = shape.dim.add()
            if isinstance(axis, int):
                dim.dim_value = axis
            else:
                dim.dim_param = axis

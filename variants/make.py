"""model.onnx with fewer bits: int8 by calibration, and float16.

Only what holds weights is quantised, convolutions and products of matrices, and nothing that comes
before the first of them becomes float16: preprocessing in the graph sums pixels and compares
them, which few bits cannot hold.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from torchcrate.errors import ExportError
from torchcrate.export import canonical, eights
from torchcrate.model.contract import Contract
from torchcrate.model.spec import Cases

_LAYERS = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}  # the input that is weights


def int8(model: onnx.ModelProto, contract: Contract, cases: Cases) -> bytes:
    """Return `model` with the weights and inputs of its layers in 8 bits.

    Weights take 7 of them, channel by channel: processors without VNNI add products of 8 bits
    in 16, which overflow, and would answer otherwise than others.

    Args:
        model: A graph with all its weights; it is changed.
        contract: Written into the result.
        cases: Inputs like those that the network is for: the values that they lead to are the
            ranges that 8 bits divide.

    Raises:
        ExportError: If no layer has weights, there is nothing to calibrate on, or it fails.
    """
    from onnxruntime import quantization

    eights.fold(model)
    layers = [node.name for node in _layers(model)]
    asked = [case for case in cases.values() if all(np.size(value) for value in case.values())]
    if not layers:
        raise ExportError(f"it has no layer with weights of its own: {', '.join(_LAYERS)}")
    if not asked:
        raise ExportError("there is nothing to calibrate on: give the spec more samples")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]  # it has no types
        given = iter(asked)

        def get_next(self) -> Mapping[str, NDArray[Any]] | None:
            return next(self.given, None)

    with _quiet(), tempfile.TemporaryDirectory(prefix="torchcrate-") as scratch:
        out = Path(scratch) / "model.onnx"
        try:
            quantization.quantize_static(
                model,
                out,
                Reader(),
                per_channel=True,
                reduce_range=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                nodes_to_quantize=layers,
            )
            made = onnx.load(out)
            onnx.checker.check_model(made)
        except Exception as error:  # whatever the graph led the quantiser to
            raise ExportError(f"it cannot be quantised: {_said(error)}") from error
    return canonical.graph(made, contract.dump())


def fp16(model: onnx.ModelProto, contract: Contract) -> bytes:
    """Return `model` computing in float16 from its first layer with weights on.

    Inputs and outputs stay as the contract has them.

    Args:
        model: A graph with all its weights; it is changed.
        contract: Written into the result.

    Raises:
        ExportError: If it has no float32 weights, or it fails.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.transformers import float16

    eights.fold(model)
    if not any(each.data_type == onnx.TensorProto.FLOAT for each in model.graph.initializer):
        raise ExportError("it has no float32 weights")
    with _quiet():
        try:
            head, tail = _split(model)
            made = float16.convert_float_to_float16(tail, keep_io_types=True)
            _rejoin(made, head, model)
            ONNXModel(made).topological_sort()  # what was inserted stands at the end
            onnx.checker.check_model(made)
        except Exception as error:  # whatever the graph led the converter to
            raise ExportError(f"it cannot be converted: {_said(error)}") from error
    return canonical.graph(made, contract.dump())


def _layers(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes that hold weights."""
    weights = {each.name for each in model.graph.initializer}
    for node in model.graph.node:
        place = _LAYERS.get(node.op_type)
        if place is not None and len(node.input) > place and node.input[place] in weights:
            yield node


def _split(model: onnx.ModelProto) -> tuple[list[onnx.NodeProto], onnx.ModelProto]:
    """Return the nodes that no layer feeds, and the others as a graph of their own."""
    fed = {name for node in _layers(model) for name in node.output}
    head: list[onnx.NodeProto] = []
    rest: list[onnx.NodeProto] = []
    for node in model.graph.node:  # in the order in which they are computed
        before = fed.isdisjoint((*node.input, *node.output))
        (head if before else rest).append(node)
        fed.update(() if before else node.output)
    used = {name for node in head for name in node.input}
    weights = {each.name: each for each in model.graph.initializer}
    made = {name for node in rest for name in node.output}
    tail = onnx.ModelProto()
    tail.CopyFrom(model)
    del tail.graph.node[:], tail.graph.initializer[:], tail.graph.input[:], tail.graph.output[:]
    tail.graph.node.extend(rest)
    for node in tail.graph.node:  # both may use one number, which only one of them keeps
        node.input[:] = [
            _own(name) if name in used & weights.keys() else name for name in node.input
        ]
    taken = {name for node in rest for name in node.input if name and name not in made}
    for name in sorted(taken & weights.keys()):
        one = tail.graph.initializer.add()
        one.CopyFrom(weights[name])
        one.name = _own(name) if name in used else name
    inferred = onnx.shape_inference.infer_shapes(model).graph
    known = {each.name: each for each in (*inferred.value_info, *inferred.input)}
    tail.graph.input.extend(known[name] for name in sorted(taken - weights.keys()))
    tail.graph.output.extend(each for each in model.graph.output if each.name in made)
    return head, tail


def _own(name: str) -> str:
    return f"{name}.float16"


def _rejoin(tail: onnx.ModelProto, head: list[onnx.NodeProto], model: onnx.ModelProto) -> None:
    """Put what goes before the graph `tail` back, with inputs and outputs of the whole."""
    nodes = [*head, *tail.graph.node]
    used = {name for node in head for name in node.input}
    kept = [each for each in model.graph.initializer if each.name in used]
    tail.graph.initializer.extend(kept)
    for field in ("node", "input", "output", "value_info"):
        tail.graph.ClearField(field)
    tail.graph.node.extend(nodes)
    tail.graph.input.extend(model.graph.input)
    tail.graph.output.extend(model.graph.output)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the makers log and warn of from the user: answers are judged, not how they came."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _said(error: Exception) -> str:
    return (str(error) or type(error).__name__).split("\n")[0]

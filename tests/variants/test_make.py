"""Fewer bits where the weights are, and nothing else of the graph is touched."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from torchcrate.errors import ExportError
from torchcrate.model.digits import DIGITS
from torchcrate.model.samples import drawings, pattern
from torchcrate.model.spec import Cases
from torchcrate.variants import make

CASES: Cases = {name: {"image": image} for name, image in drawings().items()}


@pytest.fixture
def model(drafted: Path) -> onnx.ModelProto:
    return onnx.load(drafted / "model.onnx")


def answers(content: bytes, images: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": images})[0])


def signature(model: onnx.ModelProto) -> list[bytes]:
    whole = [*model.graph.input, *model.graph.output, *model.metadata_props]
    return [each.SerializeToString() for each in whole]


def test_int8_has_the_same_bytes_again_and_the_contract_of_the_model(
    model: onnx.ModelProto, drafted: Path, tmp_path: Path
) -> None:
    before = signature(model)

    one = make.int8(model, DIGITS, CASES)
    other = make.int8(onnx.load(drafted / "model.onnx"), DIGITS, CASES)

    assert one == other
    assert signature(onnx.load_from_string(one)) == before
    assert b"/tmp" not in one
    assert len(one) < (drafted / "model.onnx").stat().st_size / 2


def test_int8_leaves_all_products_that_hold_no_weights_alone(model: onnx.ModelProto) -> None:
    made = onnx.load_from_string(make.int8(model, DIGITS, CASES))

    dequantised = {
        name
        for node in made.graph.node
        if node.op_type == "DequantizeLinear"
        for name in node.output
    }
    taken = Counter(node.op_type for node in made.graph.node if dequantised & set(node.input))
    assert taken["MatMul"] == 0  # of preprocessing
    assert (taken["Conv"], taken["Gemm"]) == (2, 2)


def test_float16_begins_with_the_first_layer(model: onnx.ModelProto, drafted: Path) -> None:
    before = signature(model)
    images = pattern("strokes", 2, 480, 640)  # whose pixels sum up to more than float16 holds

    content = make.fp16(model, DIGITS)

    want = answers((drafted / "model.onnx").read_bytes(), images)
    assert np.abs(answers(content, images) - want).max() < 0.1
    made = onnx.load_from_string(content)
    assert signature(made) == before
    half = {each.name for each in made.graph.initializer if each.data_type == 10}
    first = next(node.op_type for node in made.graph.node if half & set(node.input))
    assert first == "Conv"


def test_a_number_that_both_parts_use_stays_float32_in_the_first() -> None:
    helper = onnx.helper
    weights = np.full((2, 2), 1e-6, np.float32)  # float16 has no such number
    nodes = [
        helper.make_node("Mul", ["x", "weights"], ["scaled"], "scale"),
        helper.make_node("MatMul", ["scaled", "weights"], ["y"], "layer"),
    ]
    values = [helper.make_tensor_value_info(name, 1, [2, 2]) for name in ("x", "y")]
    graph = helper.make_graph(
        nodes, "g", values[:1], values[1:], [onnx.numpy_helper.from_array(weights, "weights")]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)

    made = onnx.load_from_string(make.fp16(model, DIGITS))

    (kept,) = (each for each in made.graph.initializer if each.name == "weights")
    assert (onnx.numpy_helper.to_array(kept) == weights).all()
    onnx.checker.check_model(made, full_check=True)


def test_what_cannot_be_made_says_why(model: onnx.ModelProto) -> None:
    empty = {"none": {"image": np.zeros((0, 1, 28, 28), np.uint8)}}
    with pytest.raises(ExportError, match="nothing to calibrate on"):
        make.int8(model, DIGITS, empty)

    del model.graph.initializer[:]

    with pytest.raises(ExportError, match="no layer with weights"):
        make.int8(model, DIGITS, CASES)
    with pytest.raises(ExportError, match="no float32 weights"):
        make.fp16(model, DIGITS)

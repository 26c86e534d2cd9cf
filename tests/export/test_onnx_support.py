"""The table of ONNX Runtimes agrees with itself, and with the runtime that is installed."""

import onnxruntime
import pytest
from onnx import TensorProto, helper

from torchcrate.export.onnx_support import first, largest


@pytest.mark.parametrize(
    ("opset", "ir", "version"),
    [(18, 8, "1.14.0"), (20, 9, "1.17.0"), (20, 10, "1.18.0"), (22, 8, "1.21.0"), (99, 8, None)],
)
def test_the_oldest_runtime_of_a_model(opset: int, ir: int, version: str | None) -> None:
    assert first(opset, ir) == version


def test_a_release_that_the_table_does_not_know_is_not_guessed() -> None:
    assert largest((1, 2)) is None
    assert largest((2,)) is None
    assert largest((1, 19, 2)) == (21, 10)


def test_what_the_first_release_reads_the_table_says_of_it() -> None:
    for opset in range(7, 27):
        oldest = first(opset, 8)
        assert oldest is not None
        reads = largest(tuple(map(int, oldest.split(".")[:2])))
        assert reads is not None
        assert opset <= reads[0]


def test_the_installed_runtime_reads_what_the_table_says_at_least() -> None:
    release = tuple(map(int, onnxruntime.__version__.split(".")[:2]))
    reads = largest(release) or (26, 13)  # the last line holds for all that came later
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([], "nothing", [value], [value])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", reads[0])])
    model.ir_version = reads[1]

    session = onnxruntime.InferenceSession(model.SerializeToString())

    assert [given.name for given in session.get_inputs()] == ["x"]

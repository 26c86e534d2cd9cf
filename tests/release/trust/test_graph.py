"""A model.onnx takes its numbers from itself or from files of its crate, and from nowhere else."""

import contextlib
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from torchcrate.errors import TrustError
from torchcrate.release.trust.graph import HOLDERS, judge

FILES = {"model.onnx", "weights.bin"}
OUTSIDE = [
    *("/etc/passwd", "../secret", "a/../../secret", "./weights.bin", "sub/weights.bin", "C:\\x"),
    *("https://example.com/w", "file:///etc/passwd", "", "other.bin", "*/_ORT_MEM_ADDR_/*"),
    *("weights.bin\0", "WEIGHTS.BIN", "weights.bin/", "..", b"\xff\xfe"),
]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.onnx"


def refused(file, data, words=None):
    file.write_bytes(data)
    with pytest.raises(TrustError, match=words) as caught:
        judge(file, FILES)
    assert "\n" not in str(caught.value)


def external(location, name="weight") -> TensorProto:
    """Return a tensor that lies elsewhere."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    tensor.external_data.add(key="length", value="8")
    return tensor


def model(*tensors: TensorProto) -> onnx.ModelProto:
    node = helper.make_node("Identity", ["weight"], ["same"])
    return helper.make_model(helper.make_graph([node], "graph", [], [], tensors))


def deep(levels: int, tensor: TensorProto) -> onnx.ModelProto:
    """Return a model with a tensor within graphs within graphs."""
    inner = helper.make_graph([], "graph", [], [], [tensor])
    for _ in range(levels):
        node = helper.make_node("If", ["a"], ["b"], then_branch=inner)
        inner = helper.make_graph([node], "graph", [], [])
    return helper.make_model(inner)


def sparse(tensor: TensorProto) -> onnx.SparseTensorProto:
    return onnx.SparseTensorProto(values=tensor, dims=[2])


def places() -> dict[str, onnx.ModelProto]:
    """Return a model for each place where a tensor can be."""
    bad = external("/etc/passwd")
    constant = helper.make_node("Constant", [], ["a"], value=bad)
    several = helper.make_node("Odd", [], ["a"])
    several.attribute.add(name="t", type=onnx.AttributeProto.TENSORS).tensors.append(bad)
    thin = helper.make_node("Constant", [], ["a"], sparse_value=sparse(bad))
    branch = helper.make_node("If", ["a"], ["b"], then_branch=model(bad).graph)
    loops = helper.make_node("Odd", [], ["a"])
    loops.attribute.add(name="g", type=onnx.AttributeProto.GRAPHS).graphs.append(model(bad).graph)
    found = {
        "initializer": model(bad),
        "second-initializer": model(TensorProto(name="a"), bad),
        "deep": deep(9, bad),
    }
    for name, node in {
        "constant": constant,
        "tensors": several,
        "sparse-value": thin,
        "if": branch,
        "graphs": loops,
    }.items():
        found[name] = helper.make_model(helper.make_graph([node], "graph", [], []))
        function = helper.make_function("d", "F", [], ["a"], [node], [helper.make_opsetid("", 20)])
        found[f"function-{name}"] = model()
        found[f"function-{name}"].functions.append(function)
    found["sparse-initializer"] = model()
    found["sparse-initializer"].graph.sparse_initializer.append(sparse(bad))
    found["sparse-indices"] = model()
    found["sparse-indices"].graph.sparse_initializer.append(
        onnx.SparseTensorProto(values=TensorProto(), indices=bad)
    )
    found["default-of-function"] = model()
    function = found["default-of-function"].functions.add(name="F", domain="d")
    function.attribute_proto.append(helper.make_attribute("a", bad))
    for part in ("initialization", "algorithm"):
        found[part] = model()
        getattr(found[part].training_info.add(), part).CopyFrom(model(bad).graph)
    return found


@pytest.mark.parametrize("location", OUTSIDE, ids=repr)
def test_a_tensor_outside_the_crate_is_refused(file, location, tiny):
    name = location if isinstance(location, bytes) else location.encode()
    tensor = tiny.field(2, 1) + tiny.field(13, tiny.field(1, b"location") + tiny.field(2, name))

    refused(file, tiny.onnx(b"", tensor + tiny.field(14, 1)), "which is no file of the crate")


@pytest.mark.parametrize("name", places())
def test_a_tensor_is_found_wherever_it_hides(file, name):
    refused(file, places()[name].SerializeToString(), "takes a tensor from '/etc/passwd'")


def test_every_way_to_a_tensor_that_onnx_knows_is_walked():
    """By onnx's own description of its messages: a new field of it would fail here."""

    def leads(message, seen=frozenset()):
        if message.name == "TensorProto":
            return True
        if message.name in seen:
            return False
        inner = (field.message_type for field in message.fields if field.message_type)
        return any(leads(each, seen | {message.name}) for each in inner)

    found = {}
    waiting = [onnx.ModelProto.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        holders = {
            field.number: field.message_type
            for field in message.fields
            if field.message_type and leads(field.message_type)
        }
        name = message.name.removesuffix("Proto")
        if name not in found:
            found[name] = {k: inner.name.removesuffix("Proto") for k, inner in holders.items()}
            waiting += holders.values()
    found["Tensor"] = {13: "Entry"}
    found["Entry"] = {}

    assert found == HOLDERS


def test_a_model_with_its_weights_inside_is_accepted(file, tiny):
    file.write_bytes(tiny.onnx(bytes(100)))

    judge(file, FILES)
    onnx.checker.check_model(onnx.load(file), full_check=True)


def test_weights_in_a_file_of_the_crate_are_accepted(file):
    file.write_bytes(model(external("weights.bin")).SerializeToString())

    judge(file, FILES)


def test_the_last_of_two_locations_counts_no_more_than_the_first(file):
    for first, second in (("weights.bin", "/etc/passwd"), ("/etc/passwd", "weights.bin")):
        tensor = external(first)
        tensor.external_data.add(key="location", value=second)
        refused(file, model(tensor).SerializeToString(), "/etc/passwd")


def test_a_value_given_twice_is_judged_twice(file, tiny):
    entry = (
        tiny.field(1, b"location") + tiny.field(2, b"/etc/passwd") + tiny.field(2, b"weights.bin")
    )

    refused(file, tiny.onnx(b"", tiny.field(13, entry) + tiny.field(14, 1)), "/etc/passwd")


def test_a_graph_in_two_parts_is_judged_in_both(file, tiny):
    """Two fields for one message are merged by every reader."""
    whole = tiny.onnx(bytes(8)) + model(external("/etc/passwd")).SerializeToString()

    refused(file, whole, "/etc/passwd")


def test_external_data_without_the_flag_is_refused_too(file):
    tensor = external("/etc/passwd")
    tensor.ClearField("data_location")

    refused(file, model(tensor).SerializeToString(), "/etc/passwd")


def test_the_flag_without_a_location_is_refused(file):
    tensor = TensorProto(name="weight", data_location=TensorProto.EXTERNAL)

    refused(file, model(tensor).SerializeToString(), "does not say in which")


def test_endless_nesting_is_refused_and_not_followed(file, tiny):
    data = b""
    for _ in range(20_000):
        data = tiny.field(1, tiny.field(5, tiny.field(6, data[-100_000:])))

    refused(file, tiny.field(7, data), "deep")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\x80" * 20,
        b"\x0a",
        b"\x3a\xff\xff\xff\xff\x7f",
        b"\x3b\x3c",
        b"\x38\1",
        b"\x08\x0a",
        b"GIF89a",
        b"\x3a\x04\x2a\x09ab",
    ],
    ids=repr,
)
def test_what_is_no_model_is_refused(file, data):
    refused(file, data, r"model\.onnx (is|holds)")


def test_two_gigabytes_of_weights_are_passed_over(file, tiny):
    size = 2_000_000_000
    tensor = tiny.field(2, 1) + tiny.varint(9 << 3 | 2) + tiny.varint(size)
    graph = tiny.varint(5 << 3 | 2) + tiny.varint(len(tensor) + size)
    with file.open("wb") as sparse:
        sparse.write(tiny.varint(7 << 3 | 2) + tiny.varint(len(graph + tensor) + size))
        sparse.write(graph + tensor)
        sparse.truncate(sparse.tell() + size)
    before = _read()

    judge(file, FILES)

    assert _read() - before < 1_000_000


def _read() -> int:
    """Return how many bytes this process has read so far."""
    line, *_ = Path("/proc/self/io").read_text().splitlines()
    return int(line.removeprefix("rchar: "))


def test_no_cut_and_no_flipped_byte_crashes(file, tiny):
    data = model(external("weights.bin")).SerializeToString()

    for place in range(len(data)):
        for damaged in (
            data[:place],
            data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :],
        ):
            file.write_bytes(damaged)
            with contextlib.suppress(TrustError):
                judge(file, FILES)

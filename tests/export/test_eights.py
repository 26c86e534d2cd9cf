"""Zeros beside the channels of a convolution change how quick it is, and no answer."""

import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from torchcrate.export import eights

Pixels = NDArray[np.float32]
POOLED = "b = Relu(a) c = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(b)"


def graph(nodes: str, answers: str = "y", **weights: tuple[int, ...]) -> onnx.ModelProto:
    """Return a graph of x, images with 3 channels, whose weights are random."""
    given = "float[n, 3, h, w] x"
    shown = ", ".join(f"float[n, {name}1, {name}2, {name}3] {name}" for name in answers.split())
    text = f'<ir_version: 9, opset_import: ["" : 20]> g ({given}) => ({shown}) {{ {nodes} }}'
    model = onnx.parser.parse_model(text)
    random = np.random.default_rng(7)
    for name, shape in weights.items():
        values = random.normal(0, 0.1, shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return model


def chain(channels: int, between: str = POOLED, kernel: int = 3) -> onnx.ModelProto:
    """Return two convolutions, with what makes c of a in between."""
    return graph(
        f"a = Conv(x, w, bias) {between} y = Conv(c, v)",
        w=(channels, 3, 3, 3),
        bias=(channels,),
        v=(32, channels, kernel, kernel),
    )


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def answer(model: onnx.ModelProto, images: Pixels) -> Pixels:
    one = session(model)
    return np.asarray(one.run(None, {one.get_inputs()[0].name: images})[0])


def images(count: int = 4, side: int = 32) -> Pixels:
    return np.random.default_rng(3).normal(size=(count, 3, side, side)).astype(np.float32)


def pads(model: onnx.ModelProto) -> list[str]:
    """Return the weights that are padded."""
    return [node.input[0] for node in model.graph.node if node.op_type == "Pad"]


def filled(before: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy with its channels filled."""
    after = onnx.ModelProto()
    after.CopyFrom(before)
    eights.fill(after)
    onnx.checker.check_model(after, full_check=True)
    return after


@pytest.mark.parametrize("channels", [5, 6, 12, 17])
def test_channels_are_filled_and_the_answer_stays(channels: int) -> None:
    before = chain(channels)

    after = filled(before)

    assert pads(after) == ["w", "bias", "v"]
    assert np.abs(answer(after, images()) - answer(before, images())).max() < 1e-4
    kept = {each.name: each for each in after.graph.initializer}
    assert all(kept[each.name] == each for each in before.graph.initializer)


def test_a_convolution_in_the_middle_is_filled_on_both_sides() -> None:
    before = graph(
        "a = Conv(x, u) b = Conv(a, v) c = Tanh(b) y = Conv(c, w)",
        u=(6, 3, 3, 3),
        v=(10, 6, 3, 3),
        w=(7, 10, 3, 3),
    )

    after = filled(before)

    again = onnx.ModelProto()
    again.CopyFrom(after)
    eights.fold(again)
    onnx.checker.check_model(again, full_check=True)
    shapes = {each.name: list(each.dims) for each in again.graph.initializer}
    assert shapes["v.eights"] == [16, 8, 3, 3]
    assert shapes["w.eights"] == [7, 16, 3, 3]
    assert np.abs(answer(after, images()) - answer(before, images())).max() < 1e-4
    assert np.array_equal(answer(again, images()), answer(after, images()))


THREE = {"u": (6, 3, 3, 3), "v": (6, 6, 3, 3), "w": (6, 6, 3, 3)}
ALONE = {
    "eight": chain(8),
    "too few to pay": chain(4),
    "one pixel at a time": chain(6, kernel=1),
    "half of a zero": chain(6, "c = Sigmoid(a)"),
    "all channels at once": chain(6, "c = Softmax<axis = 1>(a)"),
    "groups": graph("a = Conv(x, u) y = Conv<group = 2>(a, v)", u=(6, 3, 3, 3), v=(6, 3, 3, 3)),
    "two who see": graph("a = Conv(x, u) b = Conv(a, v) c = Conv(a, w) y = Add(b, c)", **THREE),
    "an answer": graph("a = Conv(x, u) y = Conv(a, v)", "y a", u=THREE["u"], v=THREE["v"]),
    "weights of two": graph(
        "a = Conv(x, u) b = Conv(a, v) y = Conv(b, v)", u=THREE["u"], v=THREE["v"]
    ),
    "no weights": graph("a = Conv(x, u) y = Conv(a, a)", u=THREE["u"]),
    "a graph within": graph(
        """a = Conv(x, u) b = Conv(a, v) yes = Constant<value = bool {1}>()
        y = If (yes) <then_branch = g1 () => (float[n, i, j, k] d) { d = Relu(a) },
                      else_branch = g2 () => (float[n, i, j, k] e) { e = Relu(b) }>""",
        u=THREE["u"],
        v=THREE["v"],
    ),
}


@pytest.mark.parametrize("before", ALONE.values(), ids=ALONE)
def test_what_is_seen_or_would_not_pay_is_left_alone(before: onnx.ModelProto) -> None:
    after = onnx.ModelProto()
    after.CopyFrom(before)

    eights.fill(after)

    assert after == before


def test_the_network_that_ships_is_filled_and_holds_its_own_weights(drafted: Path) -> None:
    model = onnx.load(drafted / "model.onnx")
    weights = {each.name: list(each.dims) for each in model.graph.initializer}

    assert [name.partition(".conv")[2] for name in pads(model)] == [
        "1.weight",
        "1.bias",
        "2.weight",
    ]
    assert [weights[name] for name in pads(model)] == [[10, 1, 5, 5], [10], [20, 10, 5, 5]]


@pytest.mark.proof
def test_eights_are_quicker_where_channels_are_filled(capsys: pytest.CaptureFixture[str]) -> None:
    """Medians of the core time of 15 calls with 64 images each, in turns, one thread."""
    many = images(64)
    table = []
    for channels in (5, 6, 10, 12, 14, 18, 20, 28, 30, 36, 50):
        both = [session(chain(channels)), session(filled(chain(channels)))]
        took: list[list[float]] = [[], []]
        for _ in range(15):
            for one, times in zip(both, took, strict=True):
                began = time.thread_time()
                one.run(None, {one.get_inputs()[0].name: many})
                times.append(time.thread_time() - began)
        before, after = (float(np.median(times)) / len(many) * 1e6 for times in took)
        table.append((channels, before, after))
    with capsys.disabled():
        print("\nchannels  as they are  in eights  ratio")
        for channels, before, after in table:
            print(f"{channels:8d} {before:9.1f} us {after:7.1f} us {after / before:6.2f}")
    ratios = [after / before for _, before, after in table]
    assert np.median(ratios) < 1

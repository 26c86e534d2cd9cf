"""Channels between the convolutions of an ONNX graph come in eights, which is quicker.

ONNX Runtime keeps what goes from one convolution to the next in blocks of 8 channels or 16. Where
it cannot fill them, it changes the layout in between, or does without blocks. So the weights
around such channels get zeros up to the next eight, by nodes `Pad` that a runtime folds as it
loads; the weights themselves stay those of model.pth. A channel of zeros stays one, and the zeros
of the next convolution take nothing from it; of an infinite number they make NaN, though.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import numpy as np
import onnx

_BLOCK = 8
# With fewer channels, or where the next convolution sees one pixel at a time, it does not pay:
# `make proof -k eights` prints how much, docs/proofs.md keeps it.
_FEWEST = 5
_CHANNELWISE = {"AveragePool", "Elu", "LeakyRelu", "MaxPool", "Relu", "Tanh"}  # of 0 they make 0
_PADDED, _MORE = ".eights", ".eights.pads"


def fill(model: onnx.ModelProto) -> None:
    """Add to `model` what fills the inner channels of its convolutions up with zeros."""
    graph = model.graph
    shapes = {each.name: tuple(each.dims) for each in graph.initializer}
    more: dict[str, list[int]] = {}  # zeros behind each axis of a weight
    for first, second in _neighbours(graph, shapes):
        channels = shapes[first.input[1]][0]
        lacking = -channels % _BLOCK
        if not lacking or channels < _FEWEST or max(shapes[second.input[1]][2:]) == 1:
            continue
        ends = [(name, 0) for name in first.input[1:] if name]
        for name, axis in (*ends, (second.input[1], 1)):
            more.setdefault(name, [0] * len(shapes[name]))[axis] = lacking
    nodes = list(graph.node)
    del graph.node[:]
    for name, behind in more.items():
        pads = np.array([0] * len(behind) + behind, np.int64)
        graph.initializer.append(onnx.numpy_helper.from_array(pads, name + _MORE))
        graph.node.add(op_type="Pad", input=[name, name + _MORE], output=[name + _PADDED])
    for node in nodes:
        if node.op_type == "Conv":
            node.input[1:] = [name + _PADDED if name in more else name for name in node.input[1:]]
    graph.node.extend(nodes)


def fold(model: onnx.ModelProto) -> None:
    """Put the zeros of `fill` into the weights, for tools that look for weights where they are."""
    graph = model.graph
    weights = {each.name: each for each in graph.initializer}
    for node in [node for node in graph.node if _made_here(node)]:
        array, pads = (onnx.numpy_helper.to_array(weights[name]) for name in node.input)
        behind = [(0, int(end)) for end in pads[array.ndim :]]
        padded = onnx.numpy_helper.from_array(np.pad(array, behind), node.output[0])
        graph.node.remove(node)
        for name in node.input:
            graph.initializer.remove(weights[name])
        graph.initializer.append(padded)


def _made_here(node: onnx.NodeProto) -> bool:
    return node.op_type == "Pad" and node.output[0] == node.input[0] + _PADDED


def _neighbours(
    graph: onnx.GraphProto, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[onnx.NodeProto, onnx.NodeProto]]:
    """Yield pairs of convolutions with weights of their own whose channels nobody else sees."""
    if any(each.type == each.GRAPH for node in graph.node for each in node.attribute):
        return  # a graph in a graph may use any tensor of it
    users: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            users[name].append(node)
    shown = {each.name for each in graph.output}

    def only_user(node: onnx.NodeProto) -> onnx.NodeProto | None:
        (name, *others) = node.output
        alone = not others and name not in shown and len(users[name]) == 1
        return users[name][0] if alone and users[name][0].input[0] == name else None

    def is_ours(node: onnx.NodeProto) -> bool:
        groups = [each.i for each in node.attribute if each.name == "group"]
        weights = [name for name in node.input[1:] if name]
        own = all(name in shapes and len(users[name]) == 1 for name in weights)
        return node.op_type == "Conv" and own and groups in ([], [1])

    for first in filter(is_ours, graph.node):
        user = only_user(first)
        while user is not None and user.op_type in _CHANNELWISE:
            user = only_user(user)
        if user is not None and is_ours(user):
            yield first, user

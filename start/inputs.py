"""What a network takes, as far as its source says: a guess for each argument of `forward`.

An argument that goes straight into a layer has that layer's dtype and axes:
`self.first(x)` with `self.first = nn.Linear(8, 16)` makes `x:float32[batch,8]`.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torchcrate.start.networks import Network, dotted, meant, method


@dataclass(frozen=True)
class Input:
    """One argument of `forward`.

    Attributes:
        name: Its name.
        text: `NAME:DTYPE[AXES]` as ModelSpec reads it; "" if the source does not say.
        reason: Where that was read: `nn.Linear at net.py:12`.
    """

    name: str
    text: str
    reason: str


_Arguments = Callable[[int, str], int | None]
_SEQUENCES = ("LSTM", "GRU", "RNN", "Conv1d", "TransformerEncoderLayer", "MultiheadAttention")


def inputs(network: Network) -> list[Input]:
    """Return what is known of each argument that `forward` must be given, in order."""
    forward = method(network.tree, "forward")
    if forward is None:
        return []
    taken = [*forward.args.posonlyargs, *forward.args.args][1:]
    taken = taken[: len(taken) - len(forward.args.defaults)]
    layers = _layers(network)
    return [_input(one.arg, forward, layers, network) for one in taken]


def _input(
    name: str,
    forward: ast.FunctionDef,
    layers: Mapping[str, ast.Call],
    network: Network,
) -> Input:
    for node in ast.walk(forward):
        if not isinstance(node, ast.Call) or not node.args or dotted(node.args[0]) != name:
            continue
        layer = layers.get(dotted(node.func).removeprefix("self."))
        if layer is None:
            continue
        kind = meant(dotted(layer.func), network.names)
        said = _said(kind, layer, network)
        if said:
            short = kind.removeprefix("torch.")
            return Input(name, f"{name}:{said}", f"{short} at {network.file}:{layer.lineno}")
    return Input(name, "", "")


def _said(kind: str, layer: ast.Call, network: Network) -> str:
    """Return dtype, axes and range of what a layer takes, "" if it is not known."""
    number = _reader(layer, network)
    name = kind.removeprefix("torch.nn.")
    if name == "Linear" and (size := number(0, "in_features")):
        return f"float32[batch,{size}]"
    if name == "Embedding" and (size := number(0, "num_embeddings")):
        axes = "batch,time" if _reads_sequences(network) else "batch"
        return f"int64[{axes}] in 0..{size - 1}"
    if name in ("LSTM", "GRU", "RNN") and (size := number(0, "input_size")):
        named = [each.value for each in layer.keywords if each.arg == "batch_first"]
        first = bool(named) and isinstance(named[0], ast.Constant) and named[0].value is True
        return f"float32[{'batch,time' if first else 'time,batch'},{size}]"
    if name in ("Conv1d", "Conv2d", "Conv3d") and (size := number(0, "in_channels")):
        axes = {"1": "time", "2": "height,width", "3": "depth,height,width"}[name[4]]
        return f"float32[batch,{size},{axes}]"
    return ""


def _reads_sequences(network: Network) -> bool:
    calls = [node for node in ast.walk(network.tree) if isinstance(node, ast.Call)]
    return any(dotted(call.func).rpartition(".")[2] in _SEQUENCES for call in calls)


def _layers(network: Network) -> dict[str, ast.Call]:
    """Return what makes each `self.NAME` in `__init__`; of a Sequential, its first layer."""
    made = method(network.tree, "__init__")
    found = {}
    for node in ast.walk(made) if made else ():
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Call):
            continue
        call = node.value
        while meant(dotted(call.func), network.names) == "torch.nn.Sequential" and call.args:
            first = call.args[0]
            if not isinstance(first, ast.Call):
                break
            call = first
        for target in node.targets:
            if dotted(target).startswith("self."):
                found[dotted(target).removeprefix("self.")] = call
    return found


def _reader(layer: ast.Call, network: Network) -> _Arguments:
    """Return what reads an argument of a layer: a number, or an argument's default."""
    made = method(network.tree, "__init__")
    defaults = _defaults(made) if made else {}

    def read(place: int, name: str) -> int | None:
        named = [each.value for each in layer.keywords if each.arg == name]
        value = next(iter(named or layer.args[place : place + 1]), None)
        if isinstance(value, ast.Name):
            value = defaults.get(value.id)
        plain = isinstance(value, ast.Constant) and type(value.value) is int and value.value > 0
        return value.value if plain else None  # type: ignore[union-attr]

    return read


def _defaults(made: ast.FunctionDef) -> dict[str, ast.expr]:
    positional = [*made.args.posonlyargs, *made.args.args]
    given = positional[len(positional) - len(made.args.defaults) :]
    pairs = [(one.arg, value) for one, value in zip(given, made.args.defaults, strict=True)]
    keyword = zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True)
    pairs += [(one.arg, value) for one, value in keyword if value is not None]
    return dict(pairs)

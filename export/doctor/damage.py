"""The weights inside model.pt and model.onnx, held to those of model.pth."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from torchcrate.export.doctor.check import Check
from torchcrate.export.doctor.locate import quieted
from torchcrate.export.doctor.record import array, distance
from torchcrate.model.weights import read_state

_Array = NDArray[Any]


def damaged(crate: Path) -> list[Check]:
    """Return for each model of a crate whether it holds the weights of model.pth.

    The first weight that differs is named. Weights that an export folds into others are not
    compared: only a tensor with the name or the shape of one in model.pth is.

    Raises:
        ContractError: If model.pth is no state_dict.
    """
    state = {name: array(one) for name, one in read_state(crate / "model.pth").items()}
    readers = {"model.pt": _torchscript, "model.onnx": _onnx}
    return [
        _compared(name, state, *reader(crate / name))
        for name, reader in readers.items()
        if (crate / name).exists()
    ]


def _onnx(path: Path) -> tuple[dict[str, _Array], list[_Array]]:
    model = onnx.load(path)
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    return arrays, list(arrays.values())


def _torchscript(path: Path) -> tuple[dict[str, _Array], list[_Array]]:
    """Return the weights of a module by name, and those that freezing made constants."""
    with quieted():
        module = torch.jit.load(str(path), "cpu")
    named = {name: array(one) for name, one in module.state_dict().items()}
    constants = [
        array(node.t("value"))
        for node in module.graph.findAllNodes("prim::Constant")
        if node.hasAttribute("value") and node.kindOf("value") == "t"
    ]
    return named, [*named.values(), *constants]


def _compared(
    name: str, state: Mapping[str, _Array], named: Mapping[str, _Array], all_: list[_Array]
) -> Check:
    known = {one.tobytes() for one in state.values()}
    strange = [one for one in all_ if one.tobytes() not in known]
    compared = 0
    for key, want in state.items():
        got = _of_name(key, want, named)
        if got is None:
            same = any(one.shape == want.shape and np.array_equal(one, want) for one in all_)
            got = want if same else _nearest(want, strange)
        if got is None:
            continue
        compared += 1
        off = distance(want, got)
        if off:
            return Check(
                name,
                "fault",
                f"{key} is off by {off:.1e} to model.pth, the first of its weights that is",
                do="pull or export the crate again",
            )
    return Check(name, "ok", f"{compared} of {len(state)} weights compared, all as in model.pth")


def _of_name(key: str, want: _Array, named: Mapping[str, _Array]) -> _Array | None:
    """Return what a file calls `key`, maybe with the names of outer modules before it."""
    for name, one in named.items():
        if (name == key or name.endswith(f".{key}")) and one.shape == want.shape:
            return one
    return None


def _nearest(want: _Array, strange: Iterable[_Array]) -> _Array | None:
    """Return the tensor of the same shape that may be a damaged `want`, None if none is near."""
    alike = [one for one in strange if one.shape == want.shape and one.dtype == want.dtype]
    values = want.astype(np.float64)  # small integers would wrap, and bools have no difference

    def off(one: _Array) -> float:
        return float(np.abs(one - values).mean())

    near = min(alike, key=off, default=None)
    if near is None or not want.size:
        return None
    return near if not off(near) > float(np.abs(values).mean()) else None

"""A crate's model called twice over: through its shipped runner, and as bare as its runtime can.

Runs in processes of its own (`ask`, `loop`), with the crate's folder on the import path.
"""

import importlib
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Call = Callable[[], object]


@dataclass(frozen=True)
class Bare:
    """A runtime without a runner.

    Attributes:
        prepare: Makes an array what the runtime takes.
        call: Takes prepared inputs in the contract's order, returns what the runtime does.
    """

    prepare: Callable[[Array], Any]
    call: Callable[..., object]


def shipped(runtime: str, crate: Path, work: str = "warm") -> Any:
    """Return the `Model` that the very program that ships loads, `run_RUNTIME.py` in `crate`.

    It is loaded for calls one after another ("warm"), or for large batches ("many"). Of the
    runtime "onnx-int8" it is the variant.
    """
    runtime, _, variant = runtime.partition("-")
    named = {"variant": variant} if variant else {}
    if str(crate) not in sys.path:
        sys.path.insert(0, str(crate))
    return importlib.import_module(f"run_{runtime}").load(crate, work, **named)


def bare(runtime: str, crate: Path, given: Mapping[str, Array]) -> Bare:
    """Return the bare call of a runtime; `given` are inputs that the model takes.

    ONNX Runtime and TorchScript load the crate's file as their manuals say. Eager has no file
    to load: its call is the very module that the runner builds, without the runner.
    """
    if runtime == "onnx":
        return _onnx(crate / "model.onnx")
    import torch

    threads = torch.get_num_threads()
    if runtime == "torchscript":
        with warnings.catch_warnings():  # TorchScript is deprecated and what LibTorch loads
            warnings.filterwarnings("ignore", r"`torch\.jit\.load` is deprecated")
            script = torch.jit.load(crate / "model.pt", "cpu")
        return Bare(_tensor, torch.inference_mode()(lambda *inputs: script(*inputs)))
    model = shipped(runtime, crate)
    module, count, names = _outermost(lambda: model.answer(in_order(model, given)))
    torch.set_num_threads(threads)  # which the runner chose for its own calls

    @torch.inference_mode()
    def call(*inputs: Any) -> object:
        return module(*inputs[:count], **dict(zip(names, inputs[count:], strict=True)))

    return Bare(_tensor, call)


def in_order(model: Any, given: Mapping[str, Array]) -> list[Array | None]:
    """Return the inputs as a runner's `Model` takes them, None for one that is left out."""
    return [given.get(spec.name) for spec in model.contract.inputs]


def _tensor(array: Array | None) -> Any:
    import torch

    return None if array is None else torch.from_numpy(array)


def _onnx(path: Path) -> Bare:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return Bare(
        lambda array: array,
        lambda *inputs: session.run(None, dict(zip(names, inputs, strict=True))),
    )


def _outermost(act: Call) -> tuple[Any, int, list[str]]:
    """Return the first module that `act` calls, and how: so many by position, the rest by name."""
    from torch import nn

    calls: list[tuple[Any, int, list[str]]] = []
    original = nn.Module.__call__

    def watched(self: Any, *arguments: Any, **named: Any) -> Any:
        calls.append((self, len(arguments), list(named)))
        return original(self, *arguments, **named)

    nn.Module.__call__ = watched  # type: ignore[method-assign]
    try:
        act()
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]
    if not calls:
        raise SystemExit("Error: run_eager.py called no module")
    return calls[0]


def kernel() -> Call:
    """Return a reference kernel: a product of two 128 x 128 float32 matrices in numpy.

    It does the same work on every machine, on one thread where OPENBLAS_NUM_THREADS is 1.
    """
    chance = np.random.default_rng(1)
    one, other = chance.random((2, 128, 128), np.float32)
    out = np.empty_like(one)
    return lambda: np.matmul(one, other, out=out)

"""The first layer at which an export answers unlike eager."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from torchcrate.export import capture
from torchcrate.export.doctor.record import (
    Event,
    Spot,
    array,
    distance,
    first_off,
    recording,
    tensors_in,
)
from torchcrate.export.place import module_at
from torchcrate.export.recurrent import TRANSLATIONS, unrolled_never
from torchcrate.export.to_torchscript import quiet
from torchcrate.model.calling import call
from torchcrate.model.cases import example as example_of
from torchcrate.model.contract import Contract
from torchcrate.model.eager import tensors

LIMIT = 1e-4
_Got = list[tuple[tuple[str, str], Sequence[Any]]]


def locate(
    module: nn.Module,
    contract: Contract,
    inputs: Mapping[str, Any],
    way: str,
    *,
    example: Mapping[str, Tensor] | None = None,
    limit: float = LIMIT,
) -> str:
    """Return which part of a network makes an export answer unlike eager; "" if none is found.

    A trace and an ONNX graph are made once more, of a network that also gives what every part
    takes and gives. TorchScript has no such hooks: each part is scripted alone.

    Args:
        module: The network, in eval mode.
        contract: Its inputs and outputs.
        inputs: One case that the export gets wrong, numpy arrays by name.
        way: "script", "trace" or "onnx".
        example: What the export was made with; None for what `model.cases` makes up.
        limit: The largest difference |got - want| / (1 + |want|) that is none.

    Returns:
        Say `body.1 (Branch) at mypkg/net.py:24 (if x.sum() > 0:) by 3.2e-01`.
    """
    try:
        spot = _spot(module, contract, inputs, way, example, limit)
    except MemoryError:
        raise
    except Exception:  # what the export of a part raises tells nothing of the whole
        return ""
    return f"{spot.words(module)}{_padding(module_at(module, spot.path))}" if spot else ""


def _padding(part: nn.Module) -> str:
    """Return what to change where torch's encoder leaves padding out, as no export does."""
    if not isinstance(part, nn.TransformerEncoder) or not getattr(part, "use_nested_tensor", False):
        return ""
    return ", which in eager alone leaves padding out: make it with enable_nested_tensor=False"


def _spot(
    module: nn.Module,
    contract: Contract,
    inputs: Mapping[str, Any],
    way: str,
    example: Mapping[str, Tensor] | None,
    limit: float,
) -> Spot | None:
    names = [given.name for given in contract.inputs]
    want = events(module, names, inputs)
    if way == "script":
        with quieted():
            return _first_scripted(module, want, "", limit)
    seen = tuple(
        one.clone() if (one := (example or {}).get(name)) is not None else made
        for name, made in zip(names, tensors(example_of(contract), names), strict=True)
    )
    teller = _Teller(module, names).eval()
    asked = tensors(inputs, names)
    with quieted():
        got = (
            _traced(teller, seen, asked)
            if way == "trace"
            else _graph(teller, seen, asked, contract)
        )
    return first_off(want, got, limit)


def events(module: nn.Module, names: Sequence[str], inputs: Mapping[str, Any]) -> list[Event]:
    """Return what happens in eager when a network is asked one case."""
    with torch.no_grad(), recording(module) as found:
        call(module, names, tensors(inputs, names))
    return found.events


@dataclass
class _Told:
    """Which events the last call had; an object, as an export sets plain attributes back.

    Attributes:
        keys: Of the events, in order.
        counts: How many tensors each event has.
    """

    keys: list[tuple[str, str]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def sorted(self, answers: Sequence[Any]) -> _Got:
        """Return the tensors of all events by event."""
        ends = np.cumsum(self.counts).tolist()
        return [
            (key, answers[end - count : end])
            for key, count, end in zip(self.keys, self.counts, ends, strict=True)
        ]


class _Teller(nn.Module):
    """A network that answers with everything that its parts take and give, in order."""

    def __init__(self, inner: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.inner = inner
        self.names = tuple(names)
        self.told = _Told()

    def forward(self, *given: Tensor | None) -> tuple[Tensor, ...]:
        with recording(self.inner) as found:
            call(self.inner, self.names, given)
        self.told.keys = [event.key for event in found.events]
        self.told.counts = [len(event.tensors) for event in found.events]
        return tuple(_plain(one) for event in found.events for one in event.tensors)


def _plain(tensor: Tensor) -> Tensor:
    """Return what `array` would make of a tensor, within a graph."""
    tensor = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def _traced(teller: _Teller, seen: tuple[Any, ...], asked: Sequence[Any]) -> _Got:
    with torch.no_grad():
        traced = torch.jit.trace(teller, seen, check_trace=False)
        return teller.told.sorted([one.numpy() for one in traced(*asked)])


def _graph(
    teller: _Teller, seen: tuple[Any, ...], asked: Sequence[Any], contract: Contract
) -> _Got:
    names = [given.name for given in contract.inputs]
    with tempfile.TemporaryDirectory() as folder, unrolled_never():
        path = str(Path(folder) / "teller.onnx")
        given = dict(zip(names, seen, strict=True))
        program = torch.onnx.export(
            capture.captured(teller, contract, given),
            input_names=names,
            dynamic_shapes=capture.free_shapes(contract),
            verbose=False,
            custom_translation_table=TRANSLATIONS,
        )
        assert program is not None
        program.save(path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        fed = {one.name for one in session.get_inputs()}
        feed = {name: one.numpy() for name, one in zip(names, asked, strict=True) if name in fed}
        return teller.told.sorted(session.run(None, feed))


def _first_scripted(
    module: nn.Module, events: Sequence[Event], path: str, limit: float
) -> Spot | None:
    """Return the innermost part that, scripted alone, is off; its first call tells."""
    for number, event in enumerate(events):
        if event.inside != path or event.kind != "takes" or event.path == path:
            continue
        off = _scripted_off(module_at(module, event.path), event, events[number:])
        if off is not None and not off <= limit:
            inner = _first_scripted(module, events[number + 1 :], event.path, limit)
            return inner or Spot(event.path, off, None)
    return None if path else Spot("", None, None)


def _scripted_off(part: nn.Module, event: Event, later: Sequence[Event]) -> float | None:
    """Return how far a part is off when it is scripted alone; None if it cannot be."""
    answer = next((one for one in later if one.path == event.path and one.kind == "gives"), None)
    if answer is None:
        return None
    args, kwargs = event.call
    try:
        with torch.no_grad():
            got = list(tensors_in(torch.jit.script(part)(*args, **kwargs)))
    except Exception:  # alone it may lack what the whole gives it, say types of its inputs
        return None
    if len(got) != len(answer.tensors):
        return float("inf")
    pairs = zip(answer.tensors, got, strict=True)
    off = [distance(array(want), array(one)) for want, one in pairs]
    return max((float("inf") if one is None else one for one in off), default=0.0)


@contextlib.contextmanager
def quieted() -> Iterator[None]:
    """Keep what torch logs, warns and prints while it exports off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            quiet(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

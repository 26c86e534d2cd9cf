"""A network as a graph of torch.export, that holds for every size which its contract allows.

torch.export traces with symbolic sizes and records a guard for each comparison of them, with the
line that made it. What was decided for the example's size would be kept for every other.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import sympy
import torch
from torch import Tensor, nn
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges, bound_sympy

from torchcrate.errors import ExportError
from torchcrate.export.decisions import by_value, by_value_words, masks_as_given
from torchcrate.export.place import Place
from torchcrate.export.recurrent import unrolled_never
from torchcrate.export.to_torchscript import Flat
from torchcrate.model.contract import Contract

_TORCH = Path(torch.__file__).parent


class _BakedInError(ExportError):
    """An axis that must be free has the example's size."""


def captured(
    module: nn.Module, contract: Contract, example: Mapping[str, Tensor]
) -> torch.export.ExportedProgram:
    """Return `module` as a graph that holds for all sizes of the contract but 0 and 1.

    That no size is 0 or 1 torch.export takes for granted: those have to be asked for.

    Raises:
        ExportError: If it decides by values, or by sizes; what else torch.export raises comes
            as it is.
    """
    named = free_shapes(contract)
    try:
        found = _exported(module, contract, example, _noted_shapes(contract))
    except Exception as error:  # torch.export and its symbols raise kinds of their own
        for path, part in module.named_modules():
            if isinstance(part, torch.jit.ScriptModule):
                raise ExportError(
                    f"{path or 'the network'} is compiled to TorchScript, of which ONNX cannot be "
                    "made: build it from its Python code, without torch.jit.script"
                ) from error
        if "data-dependent" not in str(error):
            raise
        try:  # its other front end takes float(tensor) along as a value that it does not know
            return _exported(module, contract, example, named, strict=True)
        except Exception:
            if places := by_value(module, contract, example):
                raise ExportError(by_value_words(places)) from error
            raise error from None
    try:
        require_undecided(found, contract)
    except _BakedInError:
        try:  # to named axes a recurrent layer is one operator, whose answer alone says a size
            return _exported(module, contract, example, named)
        except Exception:
            pass
        raise
    return found


def _exported(
    module: nn.Module,
    contract: Contract,
    example: Mapping[str, Tensor],
    shapes: Any,
    *,
    strict: bool = False,
) -> torch.export.ExportedProgram:
    names = [given.name for given in contract.inputs]
    # What it had of a graph when it failed goes to stderr, past every logger.
    with unrolled_never(), masks_as_given(), quiet(), contextlib.redirect_stderr(io.StringIO()):
        return torch.export.export(
            Flat(module, names).eval(),
            tuple(example[name].clone() for name in names),
            dynamic_shapes=shapes,
            strict=strict,
        )


def require_free_answers(exported: torch.export.ExportedProgram, contract: Contract) -> None:
    """Refuse a graph whose answers have one size along an axis that is free.

    Raises:
        ExportError: Naming the output, the axis and the size.
    """
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes}
    names = exported.graph_signature.user_outputs
    for spec, name in zip(contract.outputs, names, strict=False):
        shape = getattr(values.get(str(name)), "shape", ())
        for axis, size in zip(spec.axes, shape, strict=False):
            if isinstance(axis, str) and isinstance(size, int):
                raise ExportError(
                    f"{spec.name} has {axis} {size} whatever the input's: a size is baked in"
                )


def require_undecided(
    exported: torch.export.ExportedProgram, contract: Contract, since: int = 0
) -> None:
    """Refuse a graph that holds for some sizes of the contract only.

    What torch's own operators decide by sizes is of how they say the shapes of their answers; the
    operators of a runtime compute those anew. Python code decides which operators there are.

    Args:
        exported: The graph.
        contract: Whose free axes must be free.
        since: How many decisions were there before it was taken apart for ONNX; a size that is
            baked in after that is found by asking.

    Raises:
        ExportError: Naming the lines.
    """
    sizes = _sizes(exported, contract)
    if not sizes:
        return
    names = {size.node._expr: sympy.Symbol(axis, integer=True) for axis, size in sizes}
    ranges = {sympy.Symbol(axis, integer=True): _range(contract, axis) for axis, _ in sizes}
    baked = {axis: str(size.node.expr) for axis, size in sizes if size.node.expr.is_number}
    for guard in sizes[0][1].node.shape_env.guards[since:]:
        place = guard.sloc.framework_loc
        decision = guard.expr.subs(names)
        own = place is not None and _decides(place.filename)
        at = f" at {Place(place.filename, place.lineno).words()}" if own else ""
        if baked and not since and _fixes(decision, baked):
            raise _BakedInError(_baked_words(baked, at))
        if own and not _surely(decision, ranges):
            raise ExportError(
                f"it decides by a size{at}, and {decision} does not hold for all sizes of the "
                "contract: bound them in `sizes`, or fix them"
            )
    if baked and not since:
        raise _BakedInError(_baked_words(baked, ""))


def decided(exported: torch.export.ExportedProgram, contract: Contract) -> int:
    """Return how many decisions by sizes are written down."""
    sizes = _sizes(exported, contract)
    return len(sizes[0][1].node.shape_env.guards) if sizes else 0


def _baked_words(baked: Mapping[str, str], at: str) -> str:
    said = ", ".join(f"{axis} {size}" for axis, size in baked.items())
    return (
        f"the example's size is baked in{at}, {said}: a loop over an axis, a list of it or its "
        "size as a plain int keeps it"
    )


def _fixes(decision: Any, baked: Mapping[str, str]) -> bool:
    """Return whether a decision is that an axis has the example's size."""
    return isinstance(decision, sympy.Eq) and any(
        {str(side) for side in decision.args} == {axis, size} for axis, size in baked.items()
    )


def _sizes(exported: torch.export.ExportedProgram, contract: Contract) -> list[tuple[str, Any]]:
    """Return each free axis of each input with its symbolic size."""
    values = {node.name: node.meta.get("val") for node in exported.graph.nodes}
    return [
        (axis, size)
        for given, name in zip(contract.inputs, exported.graph_signature.user_inputs, strict=True)
        for axis, size in zip(given.axes, values[name].shape, strict=True)
        if isinstance(axis, str) and isinstance(size, torch.SymInt)
    ]


def _range(contract: Contract, axis: str) -> Any:
    allowed = contract.sizes_of(axis)
    most = int_oo if allowed.maximum is None else allowed.maximum
    return ValueRanges(max(2, allowed.minimum), most)


def _surely(condition: Any, ranges: dict[Any, Any]) -> bool:
    """Return whether a condition holds for all sizes in `ranges`."""
    try:
        known = bound_sympy(condition, ranges)
    except Exception:  # a function whose range is not known
        return False
    return known.is_singleton() and bool(known.lower)


def _decides(file: str) -> bool:
    """Return whether a file's code chooses operators, be it a network or a part of torch.nn."""
    path = Path(file)
    if path == _TORCH / "nn/modules/module.py":
        return False  # calls a part, and chooses nothing
    inside = path.relative_to(_TORCH).parts if path.is_relative_to(_TORCH) else ("nn",)
    return inside[0] in ("nn", "_decomp")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' notes, and a warning of torch at torch, off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.fx", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def free_shapes(contract: Contract) -> Any:
    """Return the free axes as torch.export takes them: one tuple for the one `*tensors`."""
    dims = {axis: torch.export.Dim(axis, **_bounds(contract, axis)) for axis in contract.free}
    return _placed(contract, dims)


def _noted_shapes(contract: Contract) -> Any:
    auto = torch.export.Dim.AUTO
    return _placed(contract, {axis: auto(**_bounds(contract, axis)) for axis in contract.free})


def _placed(contract: Contract, dims: Mapping[str, Any]) -> Any:
    return (
        tuple(
            {place: dims[axis] for place, axis in enumerate(given.axes) if isinstance(axis, str)}
            for given in contract.inputs
        ),
    )


def _bounds(contract: Contract, axis: str) -> dict[str, int | None]:
    allowed = contract.sizes_of(axis)
    return {"min": max(2, allowed.minimum), "max": allowed.maximum}

"""Which sizes of the free axes a network takes, found by asking it."""

import time
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from torchcrate.export.doctor.check import Check
from torchcrate.export.place import in_traceback
from torchcrate.export.words import reason_of
from torchcrate.model.calling import answer
from torchcrate.model.cases import example, generated, one, sizes_in
from torchcrate.model.contract import Contract
from torchcrate.model.eager import tensors

SECONDS = 3.0  # that a search for a size that fits may take
_SEARCHED = (  # what networks are made for comes first
    *(224, 32, 28, 64, 16, 8, 4, 128, 256, 299, 10, 12, 384, 512),
    *(1, 2, 3, 5, 6, 7, 9, 11, 13, 14, 15, 20, 24, 48, 56, 80, 96, 100, 112, 160, 192, 196),
    *(200, 240, 300, 320, 448, 480, 640),
)


def sizes(module: nn.Module, contract: Contract) -> Check:
    """Ask a network with other sizes of each free axis; find the size that is baked in."""
    free = contract.free
    if not free:
        return Check("sizes", "ok", "no axis is free")
    base = sizes_in(contract, example(contract))
    asked = {axis: {base[axis]} for axis in free}
    for case in generated(contract).values():
        for axis, size in sizes_in(contract, case).items():
            asked[axis].add(size)
    error = failure(module, contract, base)
    if error is not None:
        return _searched(module, contract, base, error)
    for axis in free:
        errors = {
            size: failure(module, contract, {**base, axis: size}) for size in sorted(asked[axis])
        }
        fails = {size: each for size, each in errors.items() if each is not None}
        if fails:
            works = [size for size in errors if size not in fails]
            if len(works) <= 1 or min(fails) > min(works):
                wider = _works(module, contract, base, (axis,))
                works = sorted({*works, *wider})
            return _fault(contract, (axis,), works, fails)
    words = "; ".join(f"{axis} {', '.join(map(str, sorted(each)))}" for axis, each in asked.items())
    return Check("sizes", "ok", f"asked with {words}")


def failure(module: nn.Module, contract: Contract, sizes: Mapping[str, int]) -> Exception | None:
    """Return what a network raises when it is asked with these sizes, None if it answers."""
    names = [given.name for given in contract.inputs]
    try:
        with torch.inference_mode():
            answer(module, names, tensors(one(contract, sizes, seed=3), names))
    except Exception as error:  # the user's own code
        return error
    return None


def _searched(
    module: nn.Module, contract: Contract, base: dict[str, int], error: Exception
) -> Check:
    """Look for sizes that a network takes which does not take those of the example."""
    inner = tuple(
        axis for axis in contract.free if any(axis in g.axes[1:] for g in contract.inputs)
    )
    alone = [(axis,) for axis in contract.free]
    for axes in ([inner] if len(inner) > 1 else []) + alone:
        works = _works(module, contract, base, axes)
        if works:
            axes = _bound(module, contract, {**base, **dict.fromkeys(axes, max(works))}, axes)
            return _fault(contract, axes, works, {base[axis]: error for axis in axes})
    shapes = ", ".join(f"{axis} {size}" for axis, size in base.items())
    return Check(
        "sizes",
        "fault",
        f"the network fails at {shapes}, and at every other size: {reason_of(error)}",
        do="describe the inputs as the network takes them, or give samples to ask it with",
    )


def _bound(
    module: nn.Module, contract: Contract, fits: Mapping[str, int], axes: tuple[str, ...]
) -> tuple[str, ...]:
    """Return those of some axes that cannot be one larger than `fits`, or all of them."""
    bound = tuple(
        axis
        for axis in axes
        if failure(module, contract, {**fits, axis: fits[axis] + 1}) is not None
    )
    return bound or axes


def _works(
    module: nn.Module, contract: Contract, base: Mapping[str, int], axes: Sequence[str]
) -> list[int]:
    """Return the sizes of some axes, alike in all of them, at which a network answers."""
    until, works = time.monotonic() + SECONDS, list[int]()
    for size in _SEARCHED:
        allowed = all(contract.sizes_of(axis).hold(size) for axis in axes)
        tried = {**base, **dict.fromkeys(axes, size)}
        if allowed and failure(module, contract, tried) is None:
            works.append(size)
        if time.monotonic() > until:
            break
    return sorted(works)


def _fault(
    contract: Contract,
    axes: Sequence[str],
    works: Sequence[int],
    fails: Mapping[int, Exception],
) -> Check:
    error = next(iter(fails.values()))
    place = in_traceback(error)
    given = next(given for given in contract.inputs if axes[0] in given.axes)
    which = f"{' and '.join(axes)} of {given.name}"
    at = ", ".join(map(str, fails))
    why = str(error).strip().partition("\n")[0]
    words = ", ".join(map(str, works[:8]))
    what = f"{which} works at {words} only, fails at {at}" if works else f"{which} fails at {at}"
    reach = _range(works, fails)
    if reach:
        limits = ", ".join(f'"{axis}": "{reach}"' for axis in axes)
        what, do = f"{which} fails at {at}, works at {words}", f"say so, sizes={{{limits}}}"
    elif works:
        fixed = ",".join(str(max(works)) if axis in axes else str(axis) for axis in given.axes)
        do = f"describe it by its number, {given.name}:{given.dtype}[{fixed}], or use shape"
    else:
        do = "describe the inputs as the network takes them, or give samples to ask it with"
    return Check("sizes", "fault", f"{what} ({why})", place.words() if place else "", do)


def _range(works: Sequence[int], fails: Iterable[int]) -> str:
    """Return the sizes that work as a range, "" if they are none or but one size."""
    failing = sorted(fails)
    if len(works) < 2 or any(min(works) < size < max(works) for size in failing):
        return ""
    return f"{min(works)}..{max(works) if failing and failing[-1] > max(works) else ''}"

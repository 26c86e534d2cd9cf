"""Inputs made up from a contract alone: seeded, of several sizes, unlike each other.

Needs numpy and no torch. A network that is judged by them must answer differently to them,
so that floats are smooth in their last axes, as pictures and sounds are, and of several scales.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchcrate.errors import ContractError, CrateError
from torchcrate.model.contract import IMAGE, Contract, TensorSpec
from torchcrate.model.spec import Cases, ModelSpec
from torchcrate.model.targets import resolve, said, where

_SCALES = ((1.0, 0.0), (0.3, -0.5), (2.0, 0.8))  # factor and shift of floats, in turn
_WIDE = (16.0, 0.0)  # reaches some tens, where in float32 a sigmoid is 0 or 1
_LONG = 8  # entries of an axis along which values can be smooth
# How far past its smallest size, 1 or more, a free axis goes; other sizes are the example's.
_COUNTS = (1, 0, 4, 6)  # of what lies along a first axis, a batch
_STEPS = (4, 0, 11, 9)  # of any other


def samples(spec: ModelSpec, contract: Contract) -> Cases:
    """Return what a network is judged with: its own samples, or made-up ones."""
    return generated(contract) if spec.samples is None else chosen(spec, "samples")


def telling(spec: ModelSpec, contract: Contract) -> Cases:
    """Return a smaller choice: what the spec calls golden, or else the samples."""
    return samples(spec, contract) if spec.golden is None else chosen(spec, "golden")


def chosen(spec: ModelSpec, field: str, *given: Path) -> Cases:
    """Return the cases that a field of the spec makes: samples, golden, data or calibration.

    Args:
        spec: The network; what makes them may be named `package.module:name`.
        field: That of the spec.
        given: The folder of the data, where it is asked for.

    Raises:
        ContractError: If making them fails, there are none, or they are not such.
    """
    found = made(spec, field, *given)
    named = {each.name for each in spec.contract.inputs}
    for case, inputs in found.items():
        if not isinstance(case, str) or not isinstance(inputs, Mapping):
            raise ContractError(
                f"{field} of {spec.name} gives {type(inputs).__name__} at {case!r}: "
                "give for the name of each case a dict of its inputs by name"
            )
        if unknown := [name for name in inputs if name not in named]:
            raise ContractError(
                f"{field} of {spec.name} gives {unknown[0]} at {case}, which is none of its inputs "
                f"{', '.join(sorted(named))}"
            )
    if not found:
        raise ContractError(f"{field} of {spec.name} gives no case: leave it away, or give one")
    return found


def made(spec: ModelSpec, field: str, *given: Path) -> dict[str, Any]:
    """Return what a field of the spec makes by case, `truth` among them.

    Raises:
        ContractError: If making it fails, or it is no dict.
    """
    maker = getattr(spec, field)
    try:
        found = (resolve(maker) if isinstance(maker, str) else maker)(*given)
    except CrateError:
        raise
    except Exception as error:  # the user's own code
        raise ContractError(f"{field} of {spec.name} fails{where(error)}: {said(error)}") from error
    if not isinstance(found, Mapping):
        raise ContractError(
            f"{field} of {spec.name} returns {type(found).__name__}, not a dict by case"
        )
    return dict(found)


def generated(contract: Contract) -> Cases:
    """Return cases of several sizes of each free axis, by names that tell the sizes.

    Optional inputs are there in some and absent in others; where an axis may have no
    entries, one case has none.
    """
    cases: Cases = {}
    for number, sizes in enumerate(_sizes(contract)):
        name = "-".join([f"{axis}{size}" for axis, size in sizes.items()]) or "only"
        for turn in range(1 if number else 3):
            drawn = one(contract, sizes, seed=10 * number + turn)
            left_out = [given.name for given in contract.inputs if given.optional]
            cases[f"{name}-{turn}"] = drawn
            if left_out and not number:
                few = {key: value for key, value in drawn.items() if key not in left_out}
                cases[f"{name}-{turn}-without"] = few
    return cases


def wide(spec: ModelSpec, contract: Contract) -> Cases:
    """Return a made-up case that saturates a network: floats without bounds are of some tens.

    There is none where no float is without bounds, or the spec has cases of its own. A network need
    not be for such inputs, so that they judge how a format was made and nothing else.
    """
    own = spec.samples is not None or spec.golden is not None
    if own or not any(map(_unbounded, contract.inputs)):
        return {}
    return {"wide": one(contract, next(_sizes(contract)), seed=3, scale=_WIDE)}


def example(contract: Contract) -> dict[str, NDArray[Any]]:
    """Return inputs of sizes that no generated case has: what a trace may see."""
    sizes = {}
    for place, axis in enumerate(contract.free):
        low = max(contract.sizes_of(axis).minimum, 1)
        want = low + 2 if _counts(contract, axis) else max(low, 2) + 6 + place
        sizes[axis] = _unseen(contract, axis, want)
    return one(contract, sizes, seed=987)


def unlike(contract: Contract, count: int = 24) -> Cases:
    """Return cases of the example's sizes, and of values that no generated case has."""
    sizes = sizes_in(contract, example(contract))
    return {f"unlike-{turn}": one(contract, sizes, seed=5000 + turn) for turn in range(count)}


def _unseen(contract: Contract, axis: str, want: int) -> int:
    """Return a size near `want` that no generated case has, if the axis may have such a one."""
    allowed, taken = contract.sizes_of(axis), _choices(contract, axis)
    low = max(allowed.minimum, 2)  # torch.export takes sizes 0 and 1 for fixed
    high = want + len(taken) if allowed.maximum is None else allowed.maximum
    want = min(max(low, want), high)
    above, below = range(want, min(high, want + len(taken)) + 1), range(want - 1, low - 1, -1)
    return next((size for size in (*above, *below[:99]) if size not in taken), want)


def sizes_in(contract: Contract, case: Mapping[str, Any]) -> dict[str, int]:
    """Return the size of each free axis in a case."""
    return {
        axis: size
        for given in contract.inputs
        if given.name in case
        for axis, size in zip(given.axes, np.shape(case[given.name]), strict=True)
        if isinstance(axis, str)
    }


def _unbounded(given: TensorSpec) -> bool:
    return np.dtype(given.dtype).kind == "f" and given.minimum is None and given.maximum is None


def one(
    contract: Contract,
    sizes: Mapping[str, int],
    seed: int,
    scale: tuple[float, float] | None = None,
) -> dict[str, NDArray[Any]]:
    """Return one seeded tensor for each input, with these sizes of the free axes.

    Args:
        contract: Names the inputs.
        sizes: Of each free axis.
        seed: Of all values.
        scale: Factor and shift of floats; None takes one of three by the seed.
    """
    chance = np.random.default_rng([seed, len(sizes)])
    factor, shift = scale or _SCALES[seed % len(_SCALES)]
    return {given.name: _tensor(given, sizes, chance, factor, shift) for given in contract.inputs}


def _sizes(contract: Contract) -> Iterator[dict[str, int]]:
    """Yield sizes of all free axes: one plain choice, then each axis in other sizes."""
    choices = {axis: _choices(contract, axis) for axis in contract.free}
    plain = {axis: sizes[0] for axis, sizes in choices.items()}
    yield plain
    for axis, sizes in choices.items():
        for size in sizes[1:]:
            yield {**plain, axis: size}


def _choices(contract: Contract, axis: str) -> list[int]:
    allowed = contract.sizes_of(axis)
    low = max(allowed.minimum, 1)
    counts = _counts(contract, axis)
    wanted = [low + more for more in (_COUNTS if counts else _STEPS)]
    if allowed.maximum is not None:
        wanted = [min(size, allowed.maximum) for size in wanted] + [allowed.maximum][: not counts]
    if allowed.minimum == 0:
        wanted.append(0)
    return list(dict.fromkeys(wanted))


def _counts(contract: Contract, axis: str) -> bool:
    """Return whether an axis counts what is asked at once: it is the first of each that has it."""
    having = [given for given in contract.inputs if axis in given.axes]
    return all(given.axes[0] == axis for given in having)


def _tensor(
    given: TensorSpec,
    sizes: Mapping[str, int],
    chance: np.random.Generator,
    factor: float,
    shift: float,
) -> NDArray[Any]:
    shape = tuple(sizes[axis] if isinstance(axis, str) else axis for axis in given.axes)
    dtype = np.dtype(given.dtype)
    low, high = given.minimum, given.maximum
    if dtype.kind == "b":
        return np.asarray(chance.random(shape) < 0.7)
    if dtype.kind in "iu":
        least = int(low if low is not None else (0 if high is None or high >= 0 else high - 1))
        most = int(high if high is not None else (255 if dtype == np.uint8 else least + 1))
        if given.meaning == IMAGE:
            smooth = _smooth(shape, chance)
            return np.asarray(least + (most - least) * (0.5 + smooth / 6).clip(0, 1)).astype(dtype)
        return np.asarray(chance.integers(least, most + 1, shape)).astype(dtype)
    values = _smooth(shape, chance) * factor + shift
    if low is not None and high is not None:
        values = low + (high - low) * (0.5 + values / 6).clip(0, 1)
    elif low is not None:
        values = low + np.abs(values)
    elif high is not None:
        values = high - np.abs(values)
    return np.asarray(values).astype(dtype)


def _smooth(shape: tuple[int, ...], chance: np.random.Generator) -> NDArray[np.float64]:
    """Return normal noise, and waves along the last two axes where those are long."""
    field = np.asarray(0.5 * chance.standard_normal(shape))
    lead = shape[: max(1, len(shape) - 2)]
    each = (*lead, *(1 for _ in shape[len(lead) :]))
    for axis in range(len(lead), len(shape)):
        if shape[axis] >= _LONG:
            along = [shape[axis] if place == axis else 1 for place in range(len(shape))]
            place = (np.arange(shape[axis]) / shape[axis]).reshape(along)
            turns, phase = chance.integers(1, 5, each), chance.random(each)
            field = field + 1.2 * np.sin(2 * np.pi * (turns * place + phase))
    return field

"""What a new contract asks of those who call the old one, and which version may ask it.

A change is a break if a caller that kept to the old contract may now be refused, or get
what the old contract ruled out. Everything else that differs is a change all the same.
From 1.0.0 on a contract changes with the major number only: whoever took 1.2.0 takes 1.9.0
without reading a line.
"""

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

import semver

from torchcrate.errors import ContractError
from torchcrate.model.contract import Contract, TensorSpec
from torchcrate.release.history import is_pre, sound
from torchcrate.release.manifest import Manifest
from torchcrate.release.registry import NotFoundError, Notice, Registry, UnlistableError
from torchcrate.table import one_line

Kept = tuple[TensorSpec, TensorSpec]  # a tensor of the old contract, and what it is in the new one


@dataclass(frozen=True)
class Change:
    """One difference between two contracts.

    Attributes:
        what: The change in words, on one line.
        breaks: Whether it breaks a caller of the old contract.
    """

    what: str
    breaks: bool

    def words(self) -> str:
        """Return the change, called a break if it is one."""
        return f"{'break' if self.breaks else 'change'}: {self.what}"


def changes(old: Contract, new: Contract) -> tuple[Change, ...]:
    """Return every difference between two contracts, inputs first; empty if they are equal."""
    found = [
        *_tensors("input", old.inputs, new.inputs),
        *_tensors("output", old.outputs, new.outputs),
        *_labels(old.labels, new.labels),
        *_sizes(old, new),
    ]
    return tuple(Change(one_line(change.what, 300), change.breaks) for change in found)


def require_major_step(ours: Manifest, registry: Registry, on_notice: Notice) -> None:
    """Refuse a contract that changed since the newest release of the same major version.

    That release is final, not yanked, and another version than `ours`. Versions below
    1.0.0, and a major version without a final release, are free.

    Raises:
        ContractError: If the contract changed, with every change.
        RegistryError: If the registry cannot be asked.
    """
    major = semver.Version.parse(ours.version).major
    if major == 0:
        return
    try:
        every = registry.versions(ours.name)
    except UnlistableError:
        on_notice(
            f"this token cannot list {registry.where}, so the contract of {ours.name} "
            f"{ours.version} was not compared with that of the release before it"
        )
        return
    except NotFoundError:
        return  # no registry yet
    same = [
        version
        for version in reversed(every)
        if semver.Version.parse(version).major == major
        and not is_pre(version)
        and version != ours.version
    ]
    before = next(sound(registry, ours.name, same), None)
    if before is None:
        return
    found = changes(before.contract, ours.contract)
    if found:
        words = "; ".join(change.words() for change in found)
        raise ContractError(
            f"the contract of {ours.name} {ours.version} is not that of {before.version}, {words}: "
            f"take {major + 1}.0.0 for it, or keep the contract"
        )


def _tensors(
    kind: str, old: tuple[TensorSpec, ...], new: tuple[TensorSpec, ...]
) -> Iterator[Change]:
    """Compare the inputs or the outputs of two contracts."""
    known = {tensor.name for tensor in old}
    come = {tensor.name: tensor for tensor in new if tensor.name not in known}
    kept: list[Kept] = []
    for place, one in enumerate(old):
        heir = next((tensor for tensor in new if tensor.name == one.name), None)
        if heir is None and place < len(new) and _is_renamed(one, new[place], come):
            heir = come.pop(new[place].name)
            yield Change(f"{kind} {one.name} is now called {heir.name}", True)
        if heir is None:
            yield Change(f"{kind} {one.name} is gone", True)
        else:
            kept.append((one, heir))
    for one, heir in kept:
        yield from _tensor(kind, one, heir, kept)
    for name in come:
        # Callers do not give an input that they do not know; another output they may ignore.
        yield Change(f"{kind} {name} is new", kind == "input" and not come[name].optional)
    names = [tensor.name for tensor in new]
    if names[: len(kept)] != [heir.name for _, heir in kept]:
        yield Change(f"the {kind}s come in another order: {', '.join(names)}", True)


def _is_renamed(one: TensorSpec, other: TensorSpec, come: Container[str]) -> bool:
    """Return whether `other`, in the place of `one`, is alike but for a name that is new."""
    return other.name in come and (one.dtype, one.axes) == (other.dtype, other.axes)


def _tensor(kind: str, old: TensorSpec, new: TensorSpec, kept: Sequence[Kept]) -> Iterator[Change]:
    """Compare two tensors that play the same part, one of those that are `kept`."""
    who = f"{kind} {new.name}"
    if old.dtype != new.dtype:
        yield Change(f"{who} has dtype {new.dtype}, was {old.dtype}", True)
    if old.axes != new.axes:
        words = f"{who} has axes ({_axes(new)}), was ({_axes(old)})"
        yield Change(words, _axes_break(kind, (old, new), kept))
    if (old.minimum, old.maximum) != (new.minimum, new.maximum):
        words = f"{who} holds {_range(new)}, was {_range(old)}"
        # What callers give must still be taken, and what they get be what they awaited.
        given, taken = (old, new) if kind == "input" else (new, old)
        yield Change(words, not _within(given, taken))
    if old.optional != new.optional:
        words = "may be left out now" if new.optional else "may not be left out any more"
        yield Change(f"{who} {words}", not new.optional)
    if old.meaning != new.meaning:
        yield Change(f"{who} means {new.meaning!r}, was {old.meaning!r}", True)


def _axes_break(kind: str, pair: Kept, kept: Sequence[Kept]) -> bool:
    """Return whether shapes that the old axes allow may now be refused, or come unawaited."""
    if len(pair[0].axes) != len(pair[1].axes):
        return True
    axes = _given_taken(kind, pair)
    others = [axis for each in kept for axis in _given_taken(kind, each)]
    return any(isinstance(taken, int) and given != taken for given, taken in axes) or any(
        isinstance(taken, str) and (taken == alike and given != other)  # two sizes become one
        for given, taken in axes
        for other, alike in others
    )


def _given_taken(kind: str, pair: Kept) -> list[tuple[int | str, int | str]]:
    """Return of each axis what one side gives and what the other awaits."""
    old, new = pair
    given, taken = (old, new) if kind == "input" else (new, old)
    return list(zip(given.axes, taken.axes, strict=False))


def _axes(tensor: TensorSpec) -> str:
    return ", ".join(map(str, tensor.axes))


def _within(inner: TensorSpec, outer: TensorSpec) -> bool:
    """Return whether every value that `inner` may hold is one that `outer` may hold."""
    lower = outer.minimum is None or (inner.minimum is not None and inner.minimum >= outer.minimum)
    upper = outer.maximum is None or (inner.maximum is not None and inner.maximum <= outer.maximum)
    return lower and upper


def _range(tensor: TensorSpec) -> str:
    low, high = tensor.minimum, tensor.maximum
    if low is None and high is None:
        return "any value"
    return f"{'any' if low is None else f'{low:g}'} to {'any' if high is None else f'{high:g}'}"


def _sizes(old: Contract, new: Contract) -> Iterator[Change]:
    """Compare how long the free axes may be."""
    for axis in sorted(old.sizes.keys() | new.sizes.keys()):
        before, after = old.sizes_of(axis), new.sizes_of(axis)
        if before == after:
            continue
        # What callers give must still be taken, and what they get be what they awaited.
        given, taken = (before, after) if axis in (*old.free, *new.free) else (after, before)
        fits = taken.hold(given.minimum) and (
            taken.maximum is None or (given.maximum is not None and taken.hold(given.maximum))
        )
        yield Change(f"{axis} may be {after.words()} long, was {before.words()}", not fits)


def _labels(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Change]:
    """Compare the words for the answers."""
    if old == new:
        return
    if not old:
        yield Change(f"labels are new, {len(new)} of them", False)
    elif len(old) != len(new):
        yield Change(f"there are {len(new)} labels, were {len(old)}", True)
    elif sorted(old) == sorted(new):
        yield Change("the labels come in another order", True)
    else:
        place = next(i for i, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1])
        yield Change(f"label {place} is {new[place]!r}, was {old[place]!r}", True)

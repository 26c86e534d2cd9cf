"""What was published of a name: which version is the newest, and what each one states."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from typing import Literal, TypeVar, cast

import semver

from torchcrate.errors import ContractError, FolderError, UsageError
from torchcrate.release.manifest import MANIFEST, Manifest
from torchcrate.release.ranges import Range
from torchcrate.release.receive import (
    DamagedError,
    TooLargeError,
    receive_manifest,
    receive_small,
)
from torchcrate.release.reference import LATEST
from torchcrate.release.registry import NotFoundError, Registry, Source
from torchcrate.release.yank import mark_of, stored_mark
from torchcrate.table import one_line, table

_AT_ONCE = 8  # versions that are read at the same time; a list of 100 then takes seconds

T = TypeVar("T")
R = TypeVar("R")
State = Literal["published", "yanked", "damaged"]


@dataclass(frozen=True)
class Release:
    """One published version as a list shows it; what its manifest does not state is None.

    Attributes:
        version: SemVer.
        state: "damaged" if the manifest cannot be read, "yanked" whether it can or not.
        date: When it was published.
        commit: git commit of its sources; empty if it was built outside a checkout.
        accuracy: Fraction of the test images that training reported.
        parity_margin: How many times the difference that was needed is the one that was
            allowed, for the runtime and way of asking with the least room; None if every
            answer was exact.
        label_margin: Smallest lead of the best label over the second on all inputs judged; None
            for a network without labels.
        size: Bytes of all its files.
        note: Why it is or was yanked, or what is damaged; empty if neither.
    """

    version: str
    state: State
    date: datetime | None
    commit: str | None = None
    accuracy: float | None = None
    parity_margin: float | None = None
    label_margin: float | None = None
    size: int | None = None
    note: str = ""


def history(registry: Registry, name: str) -> tuple[Release, ...]:
    """Return every published version of `name`, the oldest first by SemVer.

    Raises:
        RegistryError: If the registry cannot be listed or asked.
    """
    dates = registry.dates(name)
    return tuple(_at_once(lambda item: _release(registry, name, *item), list(dates.items())))


def newest(registry: Source, name: str, within: str = LATEST, *, pre: bool = False) -> str:
    """Return the newest version of `name` that is not yanked; a pre-release only if `pre`.

    What somebody uploaded under a version without publishing it, so without a manifest, is none.

    Args:
        registry: Where it is.
        name: Package name.
        within: A range that it is inside of, `latest` for any.
        pre: Whether it may be a pre-release.

    Raises:
        UsageError: If `within` is no range.
        NotFoundError: If nothing is published inside, pre-releases only and `pre` is false,
            or nothing that is not yanked.
    """
    inside = Range(()) if within == LATEST else Range.parse(within)
    what = name if within == LATEST else f"{name} within {within}"
    published = registry.versions(name)
    if not published:
        raise NotFoundError(f"{registry.where} has no published version of {name}")
    every = [version for version in published if inside.holds(version)]
    if not every:
        raise NotFoundError(
            f"{registry.where} has no version of {what}, the newest is {published[-1]}: "
            f"see 'torchcrate versions {name}'"
        )
    wanted = [version for version in every if pre or not is_pre(version)]
    if not wanted:
        raise NotFoundError(
            f"{registry.where} has only pre-releases of {what}, the newest is {every[-1]}: "
            f"name it, {name}@{every[-1]}, or allow pre-releases"
        )
    for version in reversed(wanted):
        if mark_of(registry, name, version) is None and _has_manifest(registry, name, version):
            return version
    raise NotFoundError(
        f"every version of {what} in {registry.where} is yanked: see 'torchcrate versions {name}', "
        f"and name one, {name}@{wanted[-1]}, if you must"
    )


def _has_manifest(registry: Source, name: str, version: str) -> bool:
    try:
        receive_small(registry, name, version, MANIFEST)
    except NotFoundError:
        return False
    return True


def sound(registry: Source, name: str, versions: Iterable[str]) -> Iterator[Manifest]:
    """Give the manifest of each of `versions` that is neither yanked nor damaged.

    Raises:
        RegistryError: If the registry cannot be asked.
    """
    for version in versions:
        if mark_of(registry, name, version) is None:
            try:
                manifest, _, _ = receive_manifest(registry, name, version)
            except (NotFoundError, DamagedError):
                continue  # not published by us, or not whole: nothing to compare with
            yield manifest


def table_of(releases: Sequence[Release]) -> str:
    """Return the list for people, one line a version."""
    head = ("version", "state", "date", "commit", "accuracy", "parity margin", "size", "")
    rows = [head]
    rows += [
        (
            release.version,
            release.state,
            str(release.date.date()) if release.date else "-",
            _commit_words(release.commit),
            "-" if release.accuracy is None else f"{100 * release.accuracy:.2f} %",
            margin_words(release.parity_margin) if release.size is not None else "-",
            "-" if release.size is None else size_words(release.size),
            release.note,
        )
        for release in releases
    ]
    return table(rows)


def _commit_words(commit: str | None) -> str:
    """Return a commit as short as people write it; what was not committed stays visible."""
    dirty = "-dirty" if commit and commit.endswith("-dirty") else ""
    return f"{commit[:8]}{dirty}" if commit else "-"


def parity_margin(manifest: Manifest) -> float | None:
    """Return the smallest `limit / needed` of all runtimes; None if none needed anything."""
    ratios = [entry.limit / entry.needed for entry in manifest.parity if entry.needed]
    return min(ratios, default=None)


def margin_words(margin: float | None) -> str:
    """Return how many times the needed difference was allowed, as "13x" or "exact"."""
    return "exact" if margin is None else f"{margin:.3g}x"


def size_words(size: float) -> str:
    """Return a size in bytes for people, in powers of 1000."""
    if abs(size) < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB"):
        size /= 1000
        if abs(size) < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} GB"


def is_pre(version: str) -> bool:
    """Return whether `version` is a pre-release."""
    return bool(semver.Version.parse(version).prerelease)


def _at_once(read: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """Return what `read` says of each of `items`, in their order.

    The first failure ends it, and so does Ctrl-C: nobody waits for what is still being read.
    A pool of `concurrent.futures` would, for the program cannot end before its threads.
    """
    todo: SimpleQueue[tuple[int, T]] = SimpleQueue()
    done: SimpleQueue[tuple[int, R | None, BaseException | None]] = SimpleQueue()
    given_up = threading.Event()

    def work() -> None:
        while not given_up.is_set():
            try:
                place, item = todo.get_nowait()
            except Empty:
                return
            try:
                done.put((place, read(item), None))
            except BaseException as error:  # raised again by who waits for it
                done.put((place, None, error))

    for place, item in enumerate(items):
        todo.put((place, item))
    found: dict[int, R] = {}
    try:
        for _ in range(min(_AT_ONCE, len(items))):
            threading.Thread(target=work, daemon=True).start()
        while len(found) < len(items):
            place, value, error = done.get()
            if error is not None:
                raise error
            found[place] = cast("R", value)
    finally:
        given_up.set()
    return [found[place] for place in range(len(items))]


def _release(registry: Registry, name: str, version: str, date: datetime | None) -> Release:
    mark = stored_mark(registry, name, version)
    yanked = mark is not None and not mark.undone
    try:
        manifest = Manifest.parse(receive_small(registry, name, version, MANIFEST))
        if (manifest.name, manifest.version) != (name, version):
            raise ContractError(f"{MANIFEST} is that of {manifest.name} {manifest.version}")
    except (NotFoundError, TooLargeError, ContractError, UsageError, FolderError) as error:
        note = one_line(mark.words() if mark and yanked else str(error))
        return Release(version, "yanked" if yanked else "damaged", date, note=note)
    return Release(
        version,
        "yanked" if yanked else "published",
        date,
        commit=one_line(manifest.commit),
        accuracy=manifest.metrics.get("accuracy"),
        parity_margin=parity_margin(manifest),
        label_margin=min(
            (entry.margin for entry in manifest.parity if entry.margin is not None), default=None
        ),
        size=sum(file.size for file in manifest.files),
        note=mark.words() if mark else "",
    )

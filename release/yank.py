"""A published version that nobody should take any more: marked, never changed.

The mark is one file, `yanked.json`, added to the version; nothing else may be added
after publishing. The version stays listed and every file of it stays as it was, so
that who depends on it can still pull it and is warned. Taking it back writes that into the
mark: deleting a file of a registry needs more rights than adding one.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from torchcrate.errors import ContractError, FolderError, Interrupted, RegistryError, UsageError
from torchcrate.release.manifest import YANKED
from torchcrate.release.receive import Buffer, TooLargeError
from torchcrate.release.reference import split_exact
from torchcrate.release.registry import NotFoundError, Notice, Registry, Source, Upload
from torchcrate.table import LONGEST, one_line
from torchcrate.values import decode, encode

_LARGEST = 64 * 1024  # bytes of a mark; the longest reason needs a tenth


@dataclass(frozen=True)
class Yank:
    """The content of yanked.json; `Yank.parse(y.dump()) == y` holds for a known reason.

    Attributes:
        reason: Why, for people; None where the mark is there but cannot be read.
        date: When, with its time zone; None as for the reason.
        undone: When the mark was taken back; None while it holds.
    """

    reason: str | None
    date: datetime | None
    undone: datetime | None = None

    def dump(self) -> bytes:
        """Return the mark as JSON, indented for people, ending in a newline."""
        return encode(self)

    @classmethod
    def parse(cls, data: bytes) -> "Yank":
        """Read what `dump` wrote; a mark that is damaged is a mark all the same."""
        try:
            mark = decode(data, cls, f"{YANKED} is no mark")
        except ContractError:
            return UNREADABLE
        return mark if mark.reason is not None and mark.date is not None else UNREADABLE

    def words(self) -> str:
        """Return `yanked since DATE: REASON` on one line, safe to show on any terminal.

        Of a mark that was taken back, `yanked from DATE to DATE: REASON`.
        """
        if self.reason is None or self.date is None:
            return f"yanked, its {YANKED} is damaged and cannot say why"
        if self.undone:
            return (
                f"yanked from {self.date.date()} to {self.undone.date()}: {one_line(self.reason)}"
            )
        return f"yanked since {self.date.date()}: {one_line(self.reason)}"


UNREADABLE = Yank(None, None)


@dataclass(frozen=True)
class Yanked:
    """A version that carries the mark, or from which it was taken.

    Attributes:
        name: Package name.
        version: SemVer.
        where: The registry's address.
        mark: What the registry holds now; None if the version was never yanked.
        already_there: Whether it was so before; then the mark that was there stands.
    """

    name: str
    version: str
    where: str
    mark: Yank | None
    already_there: bool


def yank(reference: str, why: str, registry: Registry, now: datetime) -> Yanked:
    """Mark the published version `NAME@VERSION` as one that nobody should take.

    Args:
        reference: Which; `latest` is no answer to that.
        why: The reason, at most `LONGEST` characters.
        registry: Where it is.
        now: The time, with its zone.

    Raises:
        UsageError: If the reference or the reason cannot be used.
        NotFoundError: If there is no such published version.
        RegistryError: If the mark was refused, or arrived damaged.
        Interrupted: If Ctrl-C comes while the mark is sent.
    """
    why = why.encode(errors="replace").decode().strip()
    if not why:
        raise UsageError("the reason is empty: say with --why what is wrong with the version")
    if len(why) > LONGEST:
        raise UsageError(f"the reason has {len(why)} characters, say it in {LONGEST} at most")
    name, version = _published(reference, registry)
    standing = mark_of(registry, name, version)
    if standing is not None and standing != UNREADABLE:
        return Yanked(name, version, registry.where, standing, already_there=True)
    return _marked(name, version, registry, Yank(why, now.replace(microsecond=0)))


def undo(reference: str, registry: Registry, now: datetime) -> Yanked:
    """Take the mark back from the published version `NAME@VERSION`: it may be taken again.

    Raises:
        As `yank`.
    """
    name, version = _published(reference, registry)
    standing = stored_mark(registry, name, version)
    if standing is None or standing.undone:
        return Yanked(name, version, registry.where, standing, already_there=True)
    now = now.replace(microsecond=0)
    if standing == UNREADABLE:
        standing = Yank(f"its {YANKED} was damaged and could not say why", now)
    return _marked(name, version, registry, replace(standing, undone=now))


def _published(reference: str, registry: Registry) -> tuple[str, str]:
    """Return name and version of the one published version that `reference` names."""
    name, version = split_exact(reference)
    if not registry.published(name, version):
        raise NotFoundError(f"{registry.where} has no published {name} {version} to yank")
    return name, version


def _marked(name: str, version: str, registry: Registry, mark: Yank) -> Yanked:
    """Let a version carry this mark."""
    try:
        registry.annotate(name, version, Upload.of_bytes(YANKED, mark.dump()))
    except KeyboardInterrupt as stop:
        raise Interrupted(
            f"the mark of {name} {version} may stand already: yank again to see, or to finish"
        ) from stop
    return Yanked(name, version, registry.where, mark, already_there=False)


def mark_of(registry: Source, name: str, version: str) -> Yank | None:
    """Return the mark of a version, or None if it is not yanked, or not any more.

    A mark that is too large, not JSON, or not readable counts: `UNREADABLE`.

    Raises:
        RegistryError: If the registry cannot be asked.
    """
    mark = stored_mark(registry, name, version)
    return None if mark is None or mark.undone else mark


def stored_mark(registry: Source, name: str, version: str) -> Yank | None:
    """Return the mark of a version whether it holds or was taken back, else as `mark_of`."""
    sink = Buffer(YANKED, _LARGEST)
    try:
        registry.fetch(name, version, YANKED, sink)
    except NotFoundError:
        return None
    except (TooLargeError, FolderError):
        return UNREADABLE
    return Yank.parse(bytes(sink.data))


def refuse_yanked(registry: Source, name: str, version: str) -> None:
    """Refuse to publish to a version that is yanked.

    Raises:
        RegistryError: If it is.
    """
    mark = mark_of(registry, name, version)
    if mark is not None:
        raise RegistryError(
            f"{name} {version} in {registry.where} is {mark.words()}; take the next version number"
        )


def warn_if_yanked(registry: Source, name: str, version: str, on_notice: Notice) -> None:
    """Say in one line that a version is yanked and why, if it is.

    Raises:
        RegistryError: If the registry cannot be asked.
    """
    mark = mark_of(registry, name, version)
    if mark is not None:
        on_notice(f"Warning: {name} {version} is {mark.words()}")

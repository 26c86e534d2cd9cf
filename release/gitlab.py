"""A registry in a GitLab project: its generic package registry, over HTTP."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime

from torchcrate.errors import RegistryError
from torchcrate.release.gitlab_api import Packages
from torchcrate.release.gitlab_draft import GitLabDraft, RehearsedDraft
from torchcrate.release.reference import in_order
from torchcrate.release.registry import Copy, NotFoundError, Notice, Progress, Sink, Upload, silent
from torchcrate.release.retry import PassingError
from torchcrate.release.settings import Settings
from torchcrate.release.transport import RefusedError, Transport


class GitLabRegistry:
    """The generic packages of one project; see `Registry` for what each method promises."""

    def __init__(
        self, settings: Settings, on_notice: Notice = silent, rehearse: Notice | None = None
    ) -> None:
        self._transport = Transport(settings, on_notice, rehearse or silent)
        self._packages = Packages(settings, self._transport)
        self._draft = RehearsedDraft if rehearse else GitLabDraft
        self.rehearses = rehearse is not None

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    @property
    def where(self) -> str:
        """The project's URL in the API."""
        return self._packages.project

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the listed versions of `name`, the oldest first by SemVer."""
        rows = self._transport.persist(lambda _: self._packages.listed(name))
        return in_order(str(row.get("version")) for row in rows)

    def dates(self, name: str) -> dict[str, datetime | None]:
        """Return when each listed version was begun: its first file came seconds before it."""
        rows = self._transport.persist(lambda _: self._packages.listed(name))
        said = {str(row.get("version")): _time(row.get("created_at")) for row in rows}
        return {version: said[version] for version in in_order(said)}

    def published(self, name: str, version: str) -> bool:
        """Return whether the version is listed, or its manifest there where nobody may list."""
        return self._transport.persist(lambda _: self._packages.lists(name, version))

    def fetch(self, name: str, version: str, file: str, sink: Sink) -> None:
        """Send a file to `sink`, going on where a broken connection stopped."""
        self._stream(self._packages.url(name, version, file), sink)

    def copies(self, name: str, version: str, names: Iterable[str]) -> tuple[Copy, ...] | None:
        """Return every copy of a listed version's files, or what is served of `names`."""
        return self._transport.persist(lambda _: self._packages.copies(name, version, names))

    def fetch_copy(self, name: str, version: str, copy: Copy, sink: Sink) -> None:
        """Send one copy to `sink`; servers before 18.4 have the newest only, by its name."""
        self._stream(copy.id or self._packages.url(name, version, copy.file), sink)

    @contextmanager
    def draft(
        self, name: str, version: str, on_progress: Progress, *, mend: bool = False
    ) -> Iterator[GitLabDraft]:
        """Begin, or take up again, the hidden package of this version, or mend the listed one."""
        if not mend:
            self._transport.persist(lambda _: self._packages.check_rights())
        yield self._draft(self._packages, self._transport, name, version, on_progress, mend)

    def _stream(self, url: str, sink: Sink) -> None:
        """Send a file to `sink`, going on where a broken connection stopped."""

        def attempt(_: bool) -> None:
            try:
                with self._transport.stream(url, sink.received) as (goes_on, pieces):
                    if sink.received and not goes_on:
                        sink.restart()
                    for piece in pieces:
                        sink.write(piece)
            except NotFoundError as error:
                raise NotFoundError(_advised(error, self._packages.reading_hint(404))) from error
            except RefusedError as error:
                if error.status != 416 or not sink.received:
                    words = _advised(error, self._packages.reading_hint(error.status))
                    raise RefusedError(words, error.status) from error
                sink.restart()  # what an earlier run left is longer than what is there
                raise PassingError(str(error)) from error

        self._transport.persist(attempt)

    def annotate(self, name: str, version: str, upload: Upload) -> None:
        """Add one file as a draft that mends does: a status would be the whole version's."""
        GitLabDraft(self._packages, self._transport, name, version, silent, mend=True).add(upload)


def _advised(error: RegistryError, hint: str) -> str:
    return f"{error}; {hint}" if hint else str(error)


def _time(stated: object) -> datetime | None:
    """Return the time that a row states, None if it states none."""
    try:
        return datetime.fromisoformat(str(stated))
    except ValueError:
        return None

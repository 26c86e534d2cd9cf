"""A registry in a GitLab project: its generic package registry, over HTTP.

GitLab keeps a status for the whole package. Files sent with `status=hidden` can
be read by whoever knows their names, but the version is not listed; the manifest
comes last with `status=default`, which stores it and lists the version in one
transaction. A later `hidden` would un-list the version, hence: look first.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from torchcrate.errors import RegistryError
from torchcrate.release.gitlab_api import Packages
from torchcrate.release.registry import Notice, Progress, Sink, Upload, in_order, silent
from torchcrate.release.retry import PassingError
from torchcrate.release.settings import Settings
from torchcrate.release.transport import RefusedError, Transport

_PIECE = 1 << 20


class GitLabRegistry:
    """The generic packages of one project; see `Registry` for what each method promises."""

    def __init__(self, settings: Settings, on_notice: Notice = silent) -> None:
        self._transport = Transport(
            settings.project, settings.credential, settings.patience, on_notice
        )
        self._packages = Packages(settings, self._transport)

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

    def published(self, name: str, version: str) -> bool:
        """Return whether the version is listed, or its manifest there where nobody may list."""
        return self._transport.persist(lambda _: self._packages.lists(name, version))

    def fetch(self, name: str, version: str, file: str, sink: Sink) -> None:
        """Send a file to `sink`, going on where a broken connection stopped."""
        url = self._packages.url(name, version, file)

        def attempt(_: bool) -> None:
            try:
                with self._transport.stream(url, sink.received) as (goes_on, pieces):
                    if sink.received and not goes_on:
                        sink.restart()
                    for piece in pieces:
                        sink.write(piece)
            except RefusedError as error:
                if error.status != 416 or not sink.received:
                    raise
                sink.restart()  # what an earlier run left is longer than what is there
                raise PassingError(str(error)) from error

        self._transport.persist(attempt)

    @contextmanager
    def draft(
        self, name: str, version: str, on_progress: Progress, *, mend: bool = False
    ) -> Iterator["GitLabDraft"]:
        """Begin, or take up again, the hidden package of this version, or mend the listed one."""
        yield GitLabDraft(self._packages, self._transport, name, version, on_progress, mend)


class GitLabDraft:
    """The hidden package of one version; see `Draft` for what each method promises."""

    def __init__(
        self,
        packages: Packages,
        transport: Transport,
        name: str,
        version: str,
        on_progress: Progress,
        mend: bool,
    ) -> None:
        self._packages = packages
        self._transport = transport
        self._name = name
        self._version = version
        self._on_progress = on_progress
        self._begun: bool | None = mend or None
        # A hidden upload to a listed version would un-list it.
        self._status = "default" if mend else "hidden"

    def held(self, file: str) -> str | None:
        """Return the sha256 of what an earlier run left under this name, or None."""
        if self._begun is None:
            self._begun = self._transport.persist(
                lambda _: self._packages.has_hidden(self._name, self._version)
            )
        return self._sha256(file) if self._begun else None  # one question, not one a file

    def add(self, upload: Upload) -> None:
        """Store a file; the version stays as hidden or as listed as it is."""
        self._put(upload, self._status)

    def release(self, manifest: Upload) -> None:
        """Store the manifest and list the version, in one transaction of the server's."""
        self._put(manifest, "default")
        if not self._transport.persist(lambda _: self._packages.lists(self._name, self._version)):
            raise RegistryError(
                f"{self._packages.project} stored {manifest.name} of {self._name} {self._version} "
                "but does not list the version: publish again"
            )
        self._status = "default"

    def listed(self, file_names: Iterable[str]) -> dict[str, str | None]:
        """Return what the server lists, or, where this token may not list, what it serves."""
        found = self._transport.persist(
            lambda _: self._packages.inventory(self._name, self._version)
        )
        return {
            name: self._sha256(name) if found is None else found.get(name) for name in file_names
        }

    def _sha256(self, file: str) -> str | None:
        return self._transport.persist(
            lambda _: self._packages.look(self._name, self._version, file)
        )

    def _put(self, upload: Upload, status: str) -> None:
        """Send a file until the server holds its very bytes, or says no."""
        url = self._packages.url(self._name, self._version, upload.name)
        forgiven = False

        def attempt(again: bool) -> None:
            nonlocal forgiven
            # An answer was lost: what was sent may stand, and a second copy helps nobody.
            if again and self._stands(upload, status):
                return
            try:
                stored = self._send(url, upload, status)
            except RefusedError as error:
                # What was sent in vain may have come through after all, late.
                if error.status == 400 and self._stands(upload, status):
                    return
                # A failing object storage is reported as 403, which looks like a missing right.
                if error.status == 403 and not forgiven:
                    forgiven = True
                    raise PassingError(str(error)) from error
                raise RegistryError(self._explained(error, upload)) from error
            if stored != upload.sha256:
                raise PassingError(f"{url} holds other bytes than were sent, sha256 {stored}")

        self._transport.persist(attempt)

    def _send(self, url: str, upload: Upload, status: str) -> str | None:
        """PUT a file, once; return the sha256 that the server computed over what it stored."""
        with upload.open() as file:
            answer = self._transport.ask(
                "PUT",
                url,
                params={"status": status, "select": "package_file"},
                body=self._pieces(upload, file),
                size=upload.size,
            )
        try:
            row = answer.json(url)
        except PassingError:
            row = None
        stated = row.get("file_sha256") if isinstance(row, dict) else None
        if isinstance(stated, str):
            return stated.lower()
        return self._packages.look(self._name, self._version, upload.name)

    def _pieces(self, upload: Upload, file: BinaryIO) -> Iterator[bytes]:
        done = 0
        self._on_progress(upload.name, done, upload.size)
        while piece := file.read(_PIECE):
            yield piece
            done += len(piece)
            self._on_progress(upload.name, done, upload.size)

    def _stands(self, upload: Upload, status: str) -> bool:
        """Return whether an earlier try was carried out after all."""
        held = self._packages.look(self._name, self._version, upload.name) == upload.sha256
        if not held or status == "hidden":
            return held
        return self._packages.lists(self._name, self._version)

    def _explained(self, error: RefusedError, upload: Upload) -> str:
        """Return the server's refusal with what to do about it."""
        package = f"{self._name} {self._version}"
        if "duplicate" in str(error).lower():
            return (
                f"{error}; it holds another {upload.name} of {package} and refuses duplicates: "
                f"let a Maintainer delete that file, or take the next version number"
            )
        hints = {
            400: "check the name and the version",
            401: "check that the token is set, valid, and still in its job",
            403: "the token needs the role Developer and the scope api",
            413: f"{upload.name} is larger than a proxy before GitLab lets pass",
        }
        hint = hints.get(error.status)
        if "too large" in str(error).lower():
            hint = f"{upload.name} is larger than the project's limit"
        return f"{error}; {hint}" if hint else str(error)

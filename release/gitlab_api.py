"""The calls of GitLab's package API that a registry needs, each done once.

Whoever calls decides whether to try again; `Transport.persist` does.
"""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from torchcrate.errors import RegistryError
from torchcrate.release.manifest import MANIFEST
from torchcrate.release.registry import Copy, NotFoundError, UnlistableError
from torchcrate.release.retry import PassingError
from torchcrate.release.settings import Settings
from torchcrate.release.transport import RefusedError, Transport

_VISIBLE = frozenset({"default", "deprecated"})  # the statuses that readers may install
_PAGES = 1000
_OLDEST_FIRST = {"per_page": "100", "order_by": "id", "sort": "asc"}
_DEVELOPER = 30  # the access level that may upload packages


class Packages:
    """The generic packages of one project."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self.project = settings.project
        self._transport = transport
        self._kind = settings.credential.header if settings.credential else None
        valid = "check that the token is valid, and still in its job"
        self.unknown_hint = valid if self._kind else settings.stranger_hint

    def url(self, name: str, version: str, file: str) -> str:
        """Return where one file is, for PUT, GET and HEAD."""
        words = "/".join(quote(word, safe="") for word in (name, version, file))
        return f"{self.project}/packages/generic/{words}"

    def check_rights(self) -> None:
        """Refuse a personal token that may not publish; of others GitLab gives no account.

        Raises:
            RefusedError: If the token lacks the scope or its owner the role.
        """
        if self._kind != "PRIVATE-TOKEN":
            return
        api = self.project.rpartition("/projects/")[0]
        scopes = self._account(f"{api}/personal_access_tokens/self").get("scopes")
        if isinstance(scopes, list) and scopes and "api" not in scopes:
            raise RefusedError(
                f"the token for {self.project} has the scope {', '.join(map(str, scopes))}, which "
                "may not publish: make one with the scope api",
                403,
            )
        permissions = self._account(self.project).get("permissions")
        entries = permissions.values() if isinstance(permissions, dict) else ()
        levels = [entry.get("access_level") for entry in entries if isinstance(entry, dict)]
        known = [level for level in levels if isinstance(level, int)]
        if known and max(known) < _DEVELOPER:
            raise RefusedError(
                f"the token's owner has the access level {max(known)} in {self.project}, which "
                f"may not publish: the role Developer, level {_DEVELOPER}, is needed",
                403,
            )

    def _account(self, url: str) -> dict[str, Any]:
        """Return what the server says there; nothing if it keeps it to itself."""
        try:
            found = self._transport.ask("GET", url).json(url)
        except (NotFoundError, RefusedError):
            return {}  # the upload itself will tell
        return found if isinstance(found, dict) else {}

    def look(self, name: str, version: str, file: str) -> str | None:
        """Return the sha256 of what a reader gets for this file, listed or not; None if nothing."""
        url = self.url(name, version, file)
        try:
            stated = self._transport.ask("HEAD", url).headers.get("X-Checksum-SHA256")
            if stated:
                return stated.lower()
            # Older servers, and storage by redirect, do not say: read it all.
            digest = hashlib.sha256()
            with self._transport.stream(url, 0) as (_, pieces):
                for piece in pieces:
                    digest.update(piece)
            return digest.hexdigest()
        except NotFoundError:
            return None

    def lists(self, name: str, version: str) -> bool:
        """Return whether the version is listed, or its manifest there where nobody may list."""
        if self._kind == "DEPLOY-TOKEN":  # good for files, ignored by lists
            return self.look(name, version, MANIFEST) is not None
        return bool(self.listed(name, version=version))

    def has_hidden(self, name: str, version: str) -> bool | None:
        """Return whether files of this version are there, unlisted; None if nobody may ask."""
        if self._kind == "DEPLOY-TOKEN":
            return None
        return bool(self.listed(name, version=version, status="hidden"))

    def stands(self, name: str, version: str) -> bool:
        """Return whether the version's package is known to be there, listed or hidden."""
        return self.lists(name, version) or bool(self.has_hidden(name, version))

    def copies(self, name: str, version: str, names: Iterable[str]) -> tuple[Copy, ...] | None:
        """Return every copy of a listed version's files, the oldest first; None if unlisted.

        Who may not list gets the newest copy of each of `names`.
        """
        if self._kind == "DEPLOY-TOKEN":
            if self.look(name, version, MANIFEST) is None:
                return None
            found = {file: self.look(name, version, file) for file in names}
            return tuple(Copy(file, sha256, "") for file, sha256 in found.items() if sha256)
        rows = self.listed(name, version=version)
        if not rows:
            return None
        copies = []
        for row in rows:
            url = f"{self.project}/packages/{row.get('id')}/package_files"
            try:
                files = list(self._rows(url, _OLDEST_FIRST))
            except NotFoundError as error:  # hidden or deleted since it was listed: ask anew
                raise PassingError(str(error)) from error
            for file in files:
                place = f"{url}/{file.get('id')}/download"
                copies.append(Copy(str(file.get("file_name")), str(file.get("file_sha256")), place))
        return tuple(copies)

    def announce_listing(self, name: str, version: str) -> None:
        """Show the request of `lists`, without making it."""
        if self._kind == "DEPLOY-TOKEN":
            self._transport.announce("HEAD", self.url(name, version, MANIFEST))
            return
        query = {**_query(name, version, ""), "page": "1"}
        self._transport.announce("GET", f"{self.project}/packages", query)

    def announce_copies(self, name: str, version: str, names: Iterable[str]) -> None:
        """Show the requests of `copies`, without making them."""
        self.announce_listing(name, version)
        if self._kind == "DEPLOY-TOKEN":
            for file in names:
                self._transport.announce("HEAD", self.url(name, version, file))
            return
        url = f"{self.project}/packages/ID/package_files"
        self._transport.announce("GET", url, {**_OLDEST_FIRST, "page": "1"})

    def listed(self, name: str, version: str = "", status: str = "") -> list[dict[str, Any]]:
        """Return the rows of a name's versions; what readers see, unless a status is asked for."""
        query = _query(name, version, status)
        try:
            rows = list(self._rows(f"{self.project}/packages", query))
        except (NotFoundError, RefusedError) as error:
            if self._kind == "DEPLOY-TOKEN":
                raise UnlistableError(f"{error}; {self._listing_hint()}") from error
            if isinstance(error, NotFoundError):
                raise NotFoundError(f"{error}; {self._listing_hint()}") from error
            raise RefusedError(f"{error}; {self._listing_hint()}", error.status) from error
        # GitLab looks for the name as a substring, and older ones ignore filters.
        wanted = {status} if status else _VISIBLE
        return [
            row
            for row in rows
            if row.get("name") == name
            and str(row.get("status")) in wanted
            and version in ("", row.get("version"))
        ]

    def _rows(self, url: str, query: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Give the rows of every page of a list."""
        page = "1"
        for _ in range(_PAGES):
            answer = self._transport.ask("GET", url, params={**query, "page": page})
            rows = answer.json(url)
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise RegistryError(f"{url} answered with something that is not a list")
            yield from rows
            page = answer.headers.get("X-Next-Page", "").strip()
            if not page:
                return
        raise RegistryError(f"{url} has more than {_PAGES} pages")

    def _listing_hint(self) -> str:
        if self._kind is None:
            return self.unknown_hint
        if self._kind == "DEPLOY-TOKEN":
            return "a deploy token cannot list: name the exact version"
        return f"check the project's address, and that {self._may_read()}"

    def reading_hint(self, status: int) -> str:
        """Return what to do about a file that is not given out; 404 is also what strangers get."""
        if self._kind is None or status == 401:
            return self.unknown_hint
        return f"check that {self._may_read()}" if status == 403 else ""

    def _may_read(self) -> str:
        if self._kind == "JOB-TOKEN":
            return "the project lets in job tokens of this one (its CI/CD settings, job token)"
        return "the token may read its packages"


def _query(name: str, version: str, status: str) -> dict[str, str]:
    """Return what to ask a project's list of packages for."""
    query = {"package_type": "generic", "package_name": name, "per_page": "100"}
    query |= {"package_version": version} if version else {}
    return query | ({"status": status} if status else {})

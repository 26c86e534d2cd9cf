"""The calls of GitLab's package API that a registry needs, each done once.

Whoever calls decides whether to try again; `Transport.persist` does.
"""

import hashlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from torchcrate.errors import RegistryError
from torchcrate.release.manifest import MANIFEST
from torchcrate.release.registry import NotFoundError, UnlistableError
from torchcrate.release.settings import Settings
from torchcrate.release.transport import RefusedError, Transport

_VISIBLE = frozenset({"default", "deprecated"})  # the statuses that readers may install
_PAGES = 1000


class Packages:
    """The generic packages of one project."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        self.project = settings.project
        self._transport = transport
        self._kind = settings.credential.header if settings.credential else None

    def url(self, name: str, version: str, file: str) -> str:
        """Return where one file is, for PUT, GET and HEAD."""
        words = "/".join(quote(word, safe="") for word in (name, version, file))
        return f"{self.project}/packages/generic/{words}"

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

    def has_hidden(self, name: str, version: str) -> bool:
        """Return whether an earlier run may have left files of this version, unlisted."""
        if self._kind == "DEPLOY-TOKEN":
            return True
        return bool(self.listed(name, version=version, status="hidden"))

    def inventory(self, name: str, version: str) -> dict[str, str] | None:
        """Return the sha256 of each file of a listed version, by name; None if nobody may ask."""
        if self._kind == "DEPLOY-TOKEN":
            return None
        found: dict[str, str] = {}
        for row in self.listed(name, version=version):
            url = f"{self.project}/packages/{row.get('id')}/package_files"
            files = self._rows(url, {"per_page": "100", "order_by": "id", "sort": "asc"})
            # Of two copies the newer one is served.
            found |= {str(file.get("file_name")): str(file.get("file_sha256")) for file in files}
        return found

    def listed(self, name: str, version: str = "", status: str = "") -> list[dict[str, Any]]:
        """Return the rows of a name's versions; what readers see, unless a status is asked for."""
        query = {"package_type": "generic", "package_name": name, "per_page": "100"}
        query |= {"package_version": version} if version else {}
        query |= {"status": status} if status else {}
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
            and row.get("status") in wanted
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
            return "set GITLAB_TOKEN if the project is not public"
        if self._kind == "DEPLOY-TOKEN":
            return "a deploy token cannot list: name the exact version"
        return "check the project's address, and that the token may read its packages"

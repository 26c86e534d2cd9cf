"""The page of a version in its GitLab project: a release with its notes and permanent links.

The tag is the page's key. A run again finds the page and brings it up to date: nothing
is made twice, and what a person wrote or linked stays.
"""

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec

from torchcrate.errors import Interrupted, RegistryError
from torchcrate.export.artifact import Role
from torchcrate.release.announce.notes import Notes
from torchcrate.release.gitlab_api import Packages
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS, Manifest
from torchcrate.release.registry import NotFoundError, Notice
from torchcrate.release.settings import Settings
from torchcrate.release.transport import Answer, RefusedError, Transport

_LINKED: frozenset[Role] = frozenset(
    {"state_dict", "torchscript", "onnx", "variant", "instruction", "parity"}
)
_PAGES = 100
_MARK, _END = "<!-- torchcrate: {} -->", "<!-- torchcrate ends -->"


@dataclass(frozen=True)
class Link:
    """One file of the version, linked from its page.

    Attributes:
        name: What the page shows; no two links of a page share one.
        url: The file in the package registry.
        direct_asset_path: What follows `/-/releases/TAG/downloads` in its permanent address.
        link_type: GitLab's word for what it is.
    """

    name: str
    url: str
    direct_asset_path: str
    link_type: str = "package"


@dataclass(frozen=True)
class Page:
    """A release page as it stands now.

    Attributes:
        tag: The tag that it belongs to.
        url: Its address for people.
        created: Whether this run made it; else it was there and was brought up to date.
        links: The names of the links that this run added or changed.
    """

    tag: str
    url: str
    created: bool
    links: tuple[str, ...]


def show(notes: Notes, tag: str, settings: Settings, on_notice: Notice) -> Page:
    """Create the release page of `tag`, or bring the one that is there up to date.

    Args:
        notes: What it says, and of which version.
        tag: A tag of the project.
        settings: The project, whose package registry holds the version.
        on_notice: Called with one line for each retry.

    Raises:
        RegistryError: If GitLab refuses: no such tag, no right to it, or a name taken.
        Interrupted: If Ctrl-C comes while the page is made.
    """
    with closing(Transport(settings, on_notice)) as transport:
        packages = Packages(settings, transport)
        manifest = notes.manifest
        signature = transport.persist(
            lambda _: packages.look(manifest.name, manifest.version, SIGNATURE)
        )
        linked = links(manifest, packages, signed=signature is not None)
        try:
            return _Releases(packages, transport).show(tag, notes, linked)
        except KeyboardInterrupt as stop:
            raise Interrupted(
                f"the release page of {tag} may stand already: run it again to see, or to finish"
            ) from stop


def links(manifest: Manifest, packages: Packages, *, signed: bool) -> tuple[Link, ...]:
    """Return the links of a version: its models, instructions and proofs."""
    names = [file.name for file in manifest.files if file.role in _LINKED]
    names += [MANIFEST, SUMS, *([SIGNATURE] if signed else [])]
    return tuple(
        Link(name, packages.url(manifest.name, manifest.version, name), f"/{name}")
        for name in names
    )


def _marked(notes: Notes) -> str:
    """Return the notes between marks that no reader sees, by which they are found again."""
    return f"{_MARK.format(notes.manifest.name)}\n{notes.body}{_END}\n"


def _merged(there: str, ours: str) -> str:
    """Return a page's text with our notes in their place, or behind what a person wrote."""
    mark = ours.partition("\n")[0]
    before, found, rest = there.partition(f"{mark}\n")
    _, closed, after = rest.partition(f"{_END}\n")
    if found and closed:
        return before + ours + after
    return f"{there.rstrip()}\n\n{ours}" if there.strip() else ours


class _Releases:
    """The calls of GitLab's release API, each repeated until it is known to stand."""

    def __init__(self, packages: Packages, transport: Transport) -> None:
        self._url = f"{packages.project}/releases"
        self._unknown_hint = packages.unknown_hint
        self._transport = transport

    def show(self, tag: str, notes: Notes, links: tuple[Link, ...]) -> Page:
        """Create the page whole, or bring it up to date."""
        ours = _marked(notes)
        assets = {"links": [msgspec.to_builtins(link) for link in links]}
        try:
            words = {"tag_name": tag, "name": notes.title, "description": ours}
            row = self._write("POST", self._url, {**words, "assets": assets})
            return Page(tag, self._page(row), True, tuple(link.name for link in links))
        except NotFoundError as error:
            raise NotFoundError(
                f"{error}; check the project's address, that it has releases, and that the token "
                "may make them: a deploy token may not"
            ) from error
        except RefusedError as error:
            # Also what a retry gets when only the answer of the first try was lost.
            if error.status != 409:
                raise RegistryError(self._explained(error, tag)) from error
        url = f"{self._url}/{quote(tag, safe='')}"
        try:
            there = self._transport.persist(lambda _: self._transport.ask("GET", url).json(url))
            words = {"description": _merged(str(there.get("description") or ""), ours)}
            if not there.get("name") or there["name"] == tag:  # what GitLab calls it by itself
                words["name"] = notes.title
            row = self._write("PUT", url, words)
            changed = tuple(link.name for link in links if self._link(url, tag, link))
        except RefusedError as error:
            raise RegistryError(self._explained(error, tag)) from error
        return Page(tag, self._page(row), False, changed)

    def _link(self, url: str, tag: str, link: Link) -> bool:
        """Make one link stand on the page; return whether it did not before."""
        changed = False

        def attempt(_: bool) -> None:
            nonlocal changed
            # Looked up before each try: a link that was sent may stand, its answer lost.
            standing = self._standing(url, link)
            if standing is not None and self._same(standing, tag, link):
                return
            changed = True
            method, where = "POST", f"{url}/assets/links"
            if standing is not None:
                method, where = "PUT", f"{where}/{standing.get('id')}"
            self._send(method, where, msgspec.to_builtins(link))

        self._transport.persist(attempt)
        return changed

    def _standing(self, url: str, link: Link) -> dict[str, Any] | None:
        """Return the link of the page that is this one, perhaps with another address."""
        rows = list(self._rows(f"{url}/assets/links"))
        by_name = (row for row in rows if row.get("name") == link.name)
        by_url = (row for row in rows if row.get("url") == link.url)
        return next(by_name, None) or next(by_url, None)

    def _same(self, row: dict[str, Any], tag: str, link: Link) -> bool:
        end = f"/-/releases/{quote(tag, safe='')}/downloads{link.direct_asset_path}"
        return (row.get("name"), row.get("url"), row.get("link_type")) == (
            link.name,
            link.url,
            link.link_type,
        ) and str(row.get("direct_asset_url")).endswith(end)

    def _rows(self, url: str) -> Iterable[dict[str, Any]]:
        page = "1"
        for _ in range(_PAGES):
            answer = self._transport.ask("GET", url, params={"per_page": "100", "page": page})
            rows = answer.json(url)
            if not isinstance(rows, list):
                raise RegistryError(f"{url} answered with something that is not a list")
            yield from (row for row in rows if isinstance(row, dict))
            page = answer.headers.get("X-Next-Page", "").strip()
            if not page:
                return

    def _write(self, method: str, url: str, value: Any) -> Any:
        return self._transport.persist(lambda _: self._send(method, url, value).json(url))

    def _send(self, method: str, url: str, value: Any) -> Answer:
        data = msgspec.json.encode(value)
        headers = {"Content-Type": "application/json"}
        return self._transport.ask(method, url, body=iter([data]), size=len(data), headers=headers)

    def _page(self, row: Any) -> str:
        """Return the page's address for people, or the API's where it does not say."""
        try:
            return str(row["_links"]["self"])
        except (KeyError, TypeError):
            return self._url

    def _explained(self, error: RefusedError, tag: str) -> str:
        hints = {
            400: "another link of the page has this name, address or path: remove that one",
            401: self._unknown_hint,
            403: f"the token needs the role Developer, and the right to the tag {tag}",
            422: f"the project has no tag {tag}: push it first, or name one with --tag",
        }
        hint = hints.get(error.status)
        return f"{error}; {hint}" if hint else str(error)

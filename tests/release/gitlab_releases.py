"""What GitLab decides about releases and their links, without HTTP; see `gitlab_rules`."""

import re
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import quote

from gitlab_rules import Actor, Answer, Project

_FILEPATH = re.compile(r"/(?:[\-.\w]+/?)*[\da-zA-Z]+")  # what a permanent path may be


@dataclass
class Link:
    """One asset link of a release."""

    id: int
    name: str
    url: str
    link_type: str
    filepath: str | None


@dataclass
class Release:
    """The page of one tag."""

    tag_name: str
    name: str
    description: str
    links: list[Link] = field(default_factory=list)


class Releases:
    """The releases of one project."""

    def __init__(self, project: Project, web: str) -> None:
        self.project = project
        self.web = f"{web}/{project.options.path}"
        self.pages: dict[str, Release] = {}

    def may_read(self, actor: Actor) -> None:
        """Refuse who may not read releases; a deploy token counts as nobody here."""
        self.project.may_list(actor)

    def may_write(self, actor: Actor, tag: str) -> None:
        """Refuse who may not make or change the release of this tag."""
        self.project.may_list(actor)
        if actor.role not in ("developer", "maintainer"):
            raise Answer(403, {"message": "403 Forbidden"})
        if tag in self.project.options.protected_tags and actor.role != "maintainer":
            raise Answer(403, {"message": "403 Forbidden"})

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Make a release and its links: all of it or nothing."""
        tag, options = body["tag_name"], self.project.options
        if tag in self.pages:
            raise Answer(409, {"message": "Release already exists"})
        if options.tags is not None and tag not in options.tags and not body.get("ref"):
            raise Answer(422, {"message": "Ref is not specified"})
        page = Release(tag, body.get("name") or tag, body.get("description") or "")
        for link in (body.get("assets") or {}).get("links", []):
            self._keep(page, None, link)
        self.pages[tag] = page
        return self.row(page)

    def update(self, tag: str, body: dict[str, Any]) -> dict[str, Any]:
        """Change what the page says."""
        page = self.page(tag)
        page.name = body.get("name", page.name)
        page.description = body.get("description", page.description)
        return self.row(page)

    def page(self, tag: str) -> Release:
        """Return the page of a tag."""
        if tag not in self.pages:
            raise Answer(404, {"message": "404 Not found"})
        return self.pages[tag]

    def links(self, tag: str) -> list[dict[str, Any]]:
        """Return the links of a page, the newest first."""
        return [self._link_row(tag, link) for link in reversed(self.page(tag).links)]

    def add_link(self, tag: str, body: dict[str, Any]) -> dict[str, Any]:
        """Add a link to a page."""
        return self._link_row(tag, self._keep(self.page(tag), None, body))

    def change_link(self, tag: str, id: int, body: dict[str, Any]) -> dict[str, Any]:
        """Change a link of a page."""
        page = self.page(tag)
        old = next((link for link in page.links if link.id == id), None)
        if old is None:
            raise Answer(404, {"message": "404 Not found"})
        return self._link_row(tag, self._keep(page, old, {**asdict(old), **body}))

    def downloaded(self, tag: str, path: str) -> str:
        """Return where a permanent path leads."""
        for link in self.page(tag).links:
            if link.filepath == f"/{path}":
                return link.url
        raise Answer(404, {"message": "404 Not found"})

    def row(self, page: Release) -> dict[str, Any]:
        """Return what the API says of a release."""
        return {
            "tag_name": page.tag_name,
            "name": page.name,
            "description": page.description,
            "assets": {"count": len(page.links), "links": self.links_of(page)},
            "_links": {"self": f"{self.web}/-/releases/{quote(page.tag_name, safe='')}"},
        }

    def links_of(self, page: Release) -> list[dict[str, Any]]:
        """Return the links of a page that may not be kept yet."""
        return [self._link_row(page.tag_name, link) for link in reversed(page.links)]

    def _keep(self, page: Release, old: Link | None, body: dict[str, Any]) -> Link:
        """Check a link against the others of its page, then keep it."""
        path = body.get("direct_asset_path") or body.get("filepath")
        others = [link for link in page.links if link is not old]
        faults = [
            f"{what} has already been taken"
            for what, taken in (
                ("Url", [link.url for link in others]),
                ("Name", [link.name for link in others]),
                ("Filepath", [link.filepath for link in others if link.filepath]),
            )
            if {"Url": body.get("url"), "Name": body.get("name"), "Filepath": path}[what] in taken
        ]
        if not re.match(r"(https?|ftp)://[^/]", str(body.get("url"))):
            faults.append("Url is blocked: Only allowed schemes are http, https, ftp")
        if path and not _FILEPATH.fullmatch(path):
            faults.append("Filepath is in an invalid format")
        if faults:
            raise Answer(400, {"message": faults})
        kept = Link(
            old.id if old else self.project.next_id(),
            body["name"],
            body["url"],
            body.get("link_type", "other"),
            path,
        )
        if old:
            page.links[page.links.index(old)] = kept
        else:
            page.links.append(kept)
        return kept

    def _link_row(self, tag: str, link: Link) -> dict[str, Any]:
        """Return what the API says of a link; the path itself is only in the permanent address."""
        row = asdict(link)
        path = row.pop("filepath")
        there = f"{self.web}/-/releases/{quote(tag, safe='')}/downloads{path}"
        return {**row, "direct_asset_url": there if path else link.url}

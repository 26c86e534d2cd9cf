"""What people are told of a version: Markdown for a release page and for a notification.

Everything is generated: the section of the changelog, the difference to the version
before, and how to pull. Words that came from a registry are made harmless first.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import semver

from torchcrate.files import anything_at, reading
from torchcrate.release.announce import words
from torchcrate.release.announce.diff import Difference, Side, difference, published
from torchcrate.release.history import is_pre, sound
from torchcrate.release.manifest import Manifest
from torchcrate.release.receive import receive_manifest
from torchcrate.release.reference import split_exact
from torchcrate.release.registry import Registry, UnlistableError
from torchcrate.release.yank import Yank, stored_mark

_LARGEST = 1 << 20  # bytes of a changelog
_MARKUP = re.compile(r"([\\`*_\[\]#|!~@$])")  # what GitLab's Markdown gives a meaning to


@dataclass(frozen=True)
class Notes:
    """Everything that is told of one version.

    Attributes:
        manifest: The version's own.
        title: Its name and version.
        before: The version it was compared with; empty if it is the first.
        body: Markdown.
    """

    manifest: Manifest
    title: str
    before: str
    body: str


def notes(reference: str, registry: Registry, changelog: str) -> Notes:
    """Write the notes of the published version `NAME@VERSION`.

    Args:
        reference: Which version.
        registry: Where it is.
        changelog: The text of the project's changelog; may be empty.

    Raises:
        UsageError: If the reference names no exact version.
        NotFoundError: If it is not published.
        RegistryError: If the registry cannot be asked.
    """
    name, version = split_exact(reference)
    manifest, _, _ = receive_manifest(registry, name, version)
    before = _before(manifest, registry)
    told = difference(before, published(manifest, registry)) if before else None
    parts = [
        _yanked(stored_mark(registry, name, version)),
        section(changelog, version),
        _compared(told) if told else _first(manifest),
        _pulling(manifest, registry.where),
    ]
    body = "\n\n".join(part for part in parts if part) + "\n"
    return Notes(manifest, f"{name} {version}", before.manifest.version if before else "", body)


def read_changelog(path: Path) -> str:
    """Return the text of a changelog, or nothing if there is no such file.

    Raises:
        FolderError: If it is there and cannot be read.
    """
    with reading(path):
        if not anything_at(path):
            return ""
        with path.open("rb") as file:
            return file.read(_LARGEST).decode(errors="replace")


def section(changelog: str, version: str) -> str:
    """Return what a changelog in the form of Keep a Changelog says of one version."""
    heading = rf"^## +\[?v?{re.escape(version)}\]?(?:[ \t(-][^\n]*)?$"
    found = re.search(rf"{heading}\n(.*?)(?=^## |\Z)", changelog, re.M | re.S)
    return found[1].strip() if found else ""


def _before(manifest: Manifest, registry: Registry) -> Side | None:
    """Return the newest version below this one; of a final version, the newest final one."""
    try:
        every = registry.versions(manifest.name)
    except UnlistableError:
        return None
    own = semver.Version.parse(manifest.version)
    lower = [
        version
        for version in reversed(every)
        if semver.Version.parse(version) < own and (is_pre(manifest.version) or not is_pre(version))
    ]
    before = next(sound(registry, manifest.name, lower), None)
    return published(before, registry) if before else None


def _yanked(mark: Yank | None) -> str:
    if mark and mark.undone:
        return f"This version was {plain(mark.words())}"
    return f"**Do not take this version: {plain(mark.words())}**" if mark else ""


def _compared(told: Difference) -> str:
    """Return the comparison with the version before."""
    old, new = told.old.rpartition(" ")[2], told.new.rpartition(" ")[2]
    rows = [("", old, new), ("---", "---", "---"), *words.figures(told)]
    lines = [f"| {' | '.join(plain(w) if w != '---' else w for w in row)} |" for row in rows]
    facts = [f"- {plain(line)}" for line in words.sentences(told)]
    return "\n".join([f"### Compared with {old}", "", *lines, "", *facts])


def _first(manifest: Manifest) -> str:
    """Return the figures of a version that has none before it."""
    alone = words.figures(difference(Side(manifest), Side(manifest)))
    return "\n".join(["### Figures", "", *(f"- {plain(row[0])}: {plain(row[2])}" for row in alone)])


def _pulling(manifest: Manifest, where: str) -> str:
    reference = f"{manifest.name}@{manifest.version}"
    return f"### Pull\n\n```sh\ntorchcrate pull {reference} --from {where}\n```"


def plain(text: str) -> str:
    """Return `text` with all escaped that Markdown, HTML or GitLab's references read."""
    return _MARKUP.sub(r"\\\1", text.replace("&", "&amp;").replace("<", "&lt;"))

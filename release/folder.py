"""A registry in a plain folder: ROOT/NAME/VERSION/FILE, on a disk or a shared drive.

A version is filled in a hidden folder and appears by one rename.
"""

import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from torchcrate.errors import RegistryError
from torchcrate.export.artifact import sha256_of
from torchcrate.files import anything_at, open_regular, reading, write_whole, writing
from torchcrate.release.manifest import MANIFEST, YANKED
from torchcrate.release.reference import in_order
from torchcrate.release.registry import (
    Copy,
    Draft,
    NotFoundError,
    Notice,
    Progress,
    Sink,
    TakenError,
    Upload,
)
from torchcrate.release.staging import flush_folder, staged

_PIECE = 1 << 20


class FolderRegistry:
    """Versions under one folder; see `Registry` for what each method promises."""

    def __init__(self, root: Path, rehearse: Notice | None = None) -> None:
        self._root = root
        self._rehearse = rehearse

    @property
    def where(self) -> str:
        """The folder."""
        return str(self._root)

    @property
    def rehearses(self) -> bool:
        """Whether a draft only shows what it would write."""
        return self._rehearse is not None

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the versions that hold a manifest, the oldest first by SemVer."""
        folder = self._root / name
        with reading(folder):
            if not self._root.is_dir():
                raise NotFoundError(f"{self._root} is no registry: there is no such folder")
            if not folder.is_dir():
                return ()
            names = [path.name for path in folder.iterdir() if (path / MANIFEST).is_file()]
        return in_order(names)

    def dates(self, name: str) -> dict[str, datetime | None]:
        """Return when the manifest of each version was written."""
        found: dict[str, datetime | None] = {}
        for version in self.versions(name):
            with reading(self._root / name / version):
                written = (self._root / name / version / MANIFEST).stat().st_mtime
            found[version] = datetime.fromtimestamp(written, UTC)
        return found

    def published(self, name: str, version: str) -> bool:
        """Return whether the version's folder holds a manifest."""
        path = self._root / name / version / MANIFEST
        with reading(path):
            return path.is_file()

    def fetch(self, name: str, version: str, file: str, sink: Sink) -> None:
        """Copy a file of a published version into `sink`; what is no file cannot be read."""
        path = self._root / name / version / file
        with reading(path):
            if not anything_at(path):
                raise NotFoundError(f"{path} does not exist")
            source = open_regular(path)
        with source:
            while True:
                with reading(path):
                    piece = source.read(_PIECE)
                if not piece:
                    return
                sink.write(piece)

    def copies(self, name: str, version: str, names: Iterable[str]) -> tuple[Copy, ...] | None:
        """Return the version's files, one copy each; None if it is not there."""
        folder = self._root / name / version
        if not self.published(name, version):
            return None
        with reading(folder):
            paths = sorted(path for path in folder.iterdir() if _counts(path))
            return tuple(Copy(p.name, sha256_of(p) if p.is_file() else "", p.name) for p in paths)

    def fetch_copy(self, name: str, version: str, copy: Copy, sink: Sink) -> None:
        """Send the one copy there is to `sink`."""
        self.fetch(name, version, copy.file, sink)

    @contextmanager
    def draft(
        self, name: str, version: str, on_progress: Progress, *, mend: bool = False
    ) -> Iterator[Draft]:
        """Begin a version in a hidden folder; what is not released vanishes."""
        target = self._root / name / version
        if mend:
            raise RegistryError(f"{target} was damaged: remove the folder and publish again")
        if self._rehearse is not None:
            yield RehearsedDraft(target, self._rehearse)
            return
        with writing(target), staged(target) as folder:
            yield FolderDraft(folder, target, on_progress)

    def annotate(self, name: str, version: str, upload: Upload) -> None:
        """Put one file into a version's folder, by one rename."""
        folder = self._root / name / version
        with upload.open() as source:
            write_whole(folder / upload.name, source.read())
        with writing(folder):
            flush_folder(folder)


def _counts(path: Path) -> bool:
    """Return whether `path` is a file of its version; a damaged mark, say a folder, is one."""
    return path.is_file() or path.name == YANKED


class FolderDraft:
    """A hidden folder that fills; see `Draft` for what each method promises."""

    def __init__(self, folder: Path, target: Path, on_progress: Progress) -> None:
        self._folder = folder
        self._target = target
        self._on_progress = on_progress

    def held(self, file: str) -> str | None:
        """Return None: what an earlier run left was never flushed, and is not trusted."""
        return None

    def add(self, upload: Upload) -> None:
        """Copy a file and bring it to disk; what was read must be what the manifest states."""
        digest = hashlib.sha256()
        done = 0
        with upload.open() as source, (self._folder / upload.name).open("xb") as copy:
            self._on_progress(upload.name, 0, upload.size)
            while piece := source.read(_PIECE):
                copy.write(piece)
                digest.update(piece)
                done += len(piece)
                self._on_progress(upload.name, done, upload.size)
            copy.flush()
            os.fsync(copy.fileno())
        if digest.hexdigest() != upload.sha256:
            raise RegistryError(f"{upload.name} changed while it was published: verify it again")

    def release(self, manifest: Upload) -> None:
        """Add the manifest and give the folder its name, if no other publisher was faster."""
        self.add(manifest)
        flush_folder(self._folder)
        try:
            self._folder.rename(self._target)  # takes the place of an empty folder only
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                raise TakenError(f"{self._target} was published by another process") from error
            raise
        flush_folder(self._target.parent)


class RehearsedDraft:
    """A draft that shows what it would write, and writes nothing."""

    def __init__(self, target: Path, show: Notice) -> None:
        self._target = target
        self._show = show

    def held(self, file: str) -> str | None:
        """Return None, as a `FolderDraft` does."""
        return None

    def add(self, upload: Upload) -> None:
        """Show the file."""
        self._show(f"write {self._target / upload.name} ({upload.size} bytes)")

    def release(self, manifest: Upload) -> None:
        """Show the manifest, and the rename that shows the version."""
        self.add(manifest)
        self._show(f"show {self._target} by one rename")

"""What was pulled before, kept by content: the same bytes are transferred once.

    ROOT/blobs/SHA256                         whole files, verified whenever one is taken out
    ROOT/partial/SHA256                       files on their way; a later run goes on with them
    ROOT/versions/REGISTRY/NAME/VERSION/FILE  manifests and what belongs to them, for offline

All of it may be removed at any time. Nothing is believed for lying here: a blob is
held to the sha256 that a manifest states, a manifest to what `receive` asks of it.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from torchcrate.errors import CrateError
from torchcrate.export.artifact import Artifact
from torchcrate.files import open_regular, write_whole
from torchcrate.release.locks import alone
from torchcrate.release.receive import AlteredError
from torchcrate.release.registry import Notice, silent

_PIECE = 1 << 20


class CacheError(Exception):
    """The cache cannot be used: its disk is full, say, or it is somebody else's."""


class Cache:
    """A folder of blobs by sha256 and of manifests by registry, name and version."""

    def __init__(self, root: Path, on_notice: Notice = silent) -> None:
        self.root = root
        self._on_notice = on_notice
        self._given_up = False

    def bring(self, file: Artifact, target: Path, receive: Callable[[BinaryIO], None]) -> bool:
        """Put `file` at `target`, out of the cache or through it.

        Two processes that want the same bytes do not fetch them twice: one waits.

        Args:
            file: Which bytes.
            target: A path where nothing is yet.
            receive: Fills an open file with them, going on after what it holds.

        Returns:
            Whether they were there already.

        Raises:
            CacheError: If the cache cannot be used; nothing is at `target` then.
            OSError: If `target` cannot be written.
            RegistryError: As `receive`.
        """
        if self._take(file, target):
            return True
        path = self.root / "partial" / file.sha256
        with self._own():
            self._folder(path.parent)
        with self._growing(path, file) as growing:
            if self._take(file, target):  # the process that was waited for brought it
                path.unlink(missing_ok=True)
                return True
            self._receive(path, growing, receive)
            with self._own():
                self._folder(self._blob(file).parent)
                path.replace(self._blob(file))
        if not self._take(file, target):
            raise CacheError(f"the cache {self.root} does not keep what is written to it")
        return False

    def remember(self, where: str, name: str, version: str, files: Mapping[str, bytes]) -> None:
        """Keep the small files of a version that was pulled from the registry at `where`.

        Does nothing after `bring` said that the cache cannot be used.

        Raises:
            CacheError: If they cannot be written.
        """
        folder = self.remembered(where) / name / version
        if self._given_up:
            return
        try:
            with self._own():
                self._folder(folder)
                with alone(folder.with_name(f".{version}.lock"), "keeps the same", silent):
                    for path in folder.iterdir():
                        if path.name not in files:
                            path.unlink()
                    for file, data in files.items():
                        write_whole(folder / file, data)
        except CrateError as error:
            raise CacheError(str(error)) from error

    def remembered(self, where: str) -> Path:
        """Return the folder of what is remembered of the registry at `where`: NAME/VERSION/FILE."""
        return self.root / "versions" / hashlib.sha256(where.encode()).hexdigest()[:32]

    def _take(self, file: Artifact, target: Path) -> bool:
        """Copy a blob to `target` if it is there and sound; drop it if it is not sound."""
        blob, digest, size = self._blob(file), hashlib.sha256(), 0
        if not self._is_there(blob):
            return False
        with self._own():
            source = open_regular(blob)
        with source, target.open("xb") as copy:
            for piece in self._pieces(source, file.size + 1):
                size += len(piece)
                digest.update(piece)
                copy.write(piece)
            copy.flush()
            os.fsync(copy.fileno())
        if (size, digest.hexdigest()) == (file.size, file.sha256):
            return True
        target.unlink()
        self._on_notice(f"{blob} was damaged: {file.name} is fetched again")
        with self._own():
            blob.unlink(missing_ok=True)
        return False

    def _pieces(self, source: BinaryIO, limit: int) -> Iterator[bytes]:
        """Give at most `limit` bytes of a blob; what cannot be read ends it early."""
        while limit > 0:
            try:
                piece = source.read(min(_PIECE, limit))
            except OSError:
                return  # it will not be what was wanted, and is dropped
            if not piece:
                return
            limit -= len(piece)
            yield piece

    @contextmanager
    def _growing(self, path: Path, file: Artifact) -> Iterator[BinaryIO]:
        """Give the partial file at `path` while no other process has it."""
        with ExitStack() as stack:
            with self._own():
                what = f"is pulling {file.name}"
                growing = stack.enter_context(alone(path, what, self._on_notice))
            yield growing

    def _receive(self, path: Path, growing: BinaryIO, receive: Callable[[BinaryIO], None]) -> None:
        """Fill the partial file; what is wrong is removed, what broke off stays for later."""
        try:
            with self._own():
                receive(growing)
        except (AlteredError, CacheError):
            path.unlink(missing_ok=True)
            raise
        except BaseException:
            if not os.fstat(growing.fileno()).st_size:
                path.unlink(missing_ok=True)
            raise

    def _is_there(self, blob: Path) -> bool:
        with self._own():
            if blob.exists() and not blob.is_file():
                self._on_notice(f"{blob} is not a file: it is removed")
                blob.unlink()
            return blob.exists()

    def _blob(self, file: Artifact) -> Path:
        return self.root / "blobs" / file.sha256

    def _folder(self, folder: Path) -> None:
        """Make a folder of the cache; only its owner may look inside."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def _own(self) -> Iterator[None]:
        """Tell failures of the cache's own disk from all others."""
        try:
            yield
        except OSError as error:
            self._given_up = True
            reason = (error.strerror or str(error)).lower()
            raise CacheError(f"the cache {self.root} cannot be used: {reason}") from error

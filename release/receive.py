"""What comes from a registry, judged before it is believed."""

import hashlib
import os
from collections.abc import Callable
from typing import IO, BinaryIO

from torchcrate.errors import CrateError, RegistryError
from torchcrate.export.artifact import Artifact
from torchcrate.release.manifest import LARGEST, MANIFEST, SUMS, Manifest
from torchcrate.release.registry import NotFoundError, Progress, Sink, Source, Upload

_PIECE = 1 << 20


class DamagedError(RegistryError):
    """A published manifest is not what its publisher sent, or not yet."""


class TooLargeError(RegistryError):
    """A small file has more bytes than any of its kind."""


class AlteredError(RegistryError):
    """A file is not what the manifest states, whole and sound as that is."""


class Buffer:
    """A `Sink` in memory, with an end."""

    def __init__(self, what: str, limit: int) -> None:
        self.data = bytearray()
        self._what = what
        self._limit = limit

    @property
    def received(self) -> int:
        """How many bytes stand so far."""
        return len(self.data)

    def write(self, chunk: bytes) -> None:
        """Append `chunk`, unless that passes the limit."""
        if len(self.data) + len(chunk) > self._limit:
            raise TooLargeError(f"{self._what} has more than {self._limit} bytes, no such file has")
        self.data += chunk

    def restart(self) -> None:
        """Forget what was received."""
        self.data.clear()


class Spool:
    """A `Sink` in an open file that nobody else sees, to be sent on from there."""

    def __init__(self, name: str, file: IO[bytes]) -> None:
        self._name = name
        self._file = file
        self.restart()

    def write(self, chunk: bytes) -> None:
        """Append `chunk`."""
        self._file.write(chunk)
        self._digest.update(chunk)
        self.received += len(chunk)

    def restart(self) -> None:
        """Forget what was received."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.received = 0

    def upload(self) -> Upload:
        """Return what came, on its way to a registry; good until `close`."""
        self._file.flush()
        return Upload(self._name, self.received, self._digest.hexdigest(), self._again)

    def _again(self) -> BinaryIO:
        file = os.fdopen(os.dup(self._file.fileno()), "rb")
        file.seek(0)
        return file

    def close(self) -> None:
        """Give the file up."""
        self._file.close()


class Parcel:
    """A `Sink` on disk for one file of a manifest: counted and hashed while it grows.

    What the file holds already counts as received, after it was hashed again.
    """

    def __init__(self, file: BinaryIO, want: Artifact, where: str, on_progress: Progress) -> None:
        self._file = file
        self._want = want
        self._where = where
        self._on_progress = on_progress
        self._digest = hashlib.sha256()
        self.received = 0
        self._file.seek(0)
        while piece := self._file.read(_PIECE):
            self._digest.update(piece)
            self.received += len(piece)

    def fill(self, fetch: Callable[[Sink], None]) -> None:
        """Let `fetch` send the rest, and hold the whole to the manifest.

        Where what an earlier run left does not lead there, all is fetched once more.

        Raises:
            AlteredError: If the size or the sha256 is not the one stated.
            RegistryError: If it cannot be had.
        """
        left = self.received
        try:
            self._fill(fetch)
        except AlteredError:
            if not left:
                raise
            self.restart()
            self._fill(fetch)

    def write(self, chunk: bytes) -> None:
        """Append `chunk`, unless the file grows larger than the manifest states."""
        self.received += len(chunk)
        if self.received > self._want.size:
            raise AlteredError(self._wrong(f"more than {self._want.size} bytes"))
        self._file.write(chunk)
        self._digest.update(chunk)
        self._on_progress(self._want.name, self.received, self._want.size)

    def restart(self) -> None:
        """Forget what was received."""
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self.received = 0

    def _fill(self, fetch: Callable[[Sink], None]) -> None:
        if self.received:
            self._on_progress(self._want.name, self.received, self._want.size)
        if not 0 < self.received == self._want.size:  # else only the last look is left to do
            fetch(self)
        if self.received != self._want.size:
            raise AlteredError(self._wrong(f"{self.received} bytes, not {self._want.size}"))
        found = self._digest.hexdigest()
        if found != self._want.sha256:
            raise AlteredError(self._wrong(f"sha256 {found}, not {self._want.sha256}"))
        self._file.flush()

    def _wrong(self, what: str) -> str:
        return f"{self._where} sent {self._want.name} with {what}: nothing of it was kept"


def receive_manifest(
    registry: Source,
    name: str,
    version: str,
    vouch: Callable[[bytes], None] = lambda manifest: None,
) -> tuple[Manifest, bytes, bytes]:
    """Return a published manifest, its bytes and those of SHA256SUMS, which must agree.

    Args:
        registry: Where the version is.
        name: Package name.
        version: SemVer.
        vouch: Called with the manifest's bytes before they are read or more is asked for;
            raises if nobody trusted signed them.

    Raises:
        NotFoundError: If the version is not published: it has no manifest.
        DamagedError: If manifest and sums are damaged, or disagree.
        RegistryError: If they cannot be had, or belong to another version.
    """
    what = f"{name} {version} in {registry.where}"
    try:
        data = receive_small(registry, name, version, MANIFEST)
    except NotFoundError as error:
        raise NotFoundError(f"{what} is not published: {error}") from error
    vouch(data)
    try:
        manifest = Manifest.parse(data)
    except CrateError as error:
        raise DamagedError(f"{what}: {error}") from error
    if (manifest.name, manifest.version) != (name, version):
        raise RegistryError(
            f"{what} has the manifest of {manifest.name} {manifest.version}: do not use it"
        )
    try:
        sums = receive_small(registry, name, version, SUMS)
    except NotFoundError as error:
        raise DamagedError(f"{what} has lost its {SUMS}: {error}") from error
    if sums != manifest.sums(data):
        raise DamagedError(
            f"{what}: {SUMS} and {MANIFEST} disagree; another publisher may be at work, try again"
        )
    return manifest, data, sums


def receive_small(registry: Source, name: str, version: str, file: str) -> bytes:
    """Return the bytes of a small file, published or hidden.

    Raises:
        NotFoundError: If there is no such file.
        RegistryError: If it is not small, or cannot be had.
    """
    sink = Buffer(f"{file} of {name} {version}", LARGEST)
    registry.fetch(name, version, file, sink)
    return bytes(sink.data)

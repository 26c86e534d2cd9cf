"""A registry seen through the cache: what it said is remembered, and told again without it."""

from pathlib import Path

from torchcrate.files import anything_at, open_regular, reading
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS, YANKED
from torchcrate.release.reference import in_order
from torchcrate.release.registry import NotFoundError, Sink, Source

_PIECE = 1 << 20
_SMALL = frozenset({MANIFEST, SUMS, SIGNATURE, YANKED})


class Witness:
    """A registry whose answers are kept: the small files, which say what a version is."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.seen: dict[str, bytes] = {}

    @property
    def where(self) -> str:
        """The registry's address."""
        return self._source.where

    def versions(self, name: str) -> tuple[str, ...]:
        """Ask the registry."""
        return self._source.versions(name)

    def published(self, name: str, version: str) -> bool:
        """Ask the registry."""
        return self._source.published(name, version)

    def fetch(self, name: str, version: str, file: str, sink: Sink) -> None:
        """Fetch from the registry, and keep what is small."""
        if file not in _SMALL:
            self._fetch_large(name, version, file, sink)
            return
        self.seen.pop(file, None)
        copy = _Copied(sink)
        self._source.fetch(name, version, file, copy)
        self.seen[file] = bytes(copy.data)

    def _fetch_large(self, name: str, version: str, file: str, sink: Sink) -> None:
        try:
            self._source.fetch(name, version, file, sink)
        except NotFoundError as error:  # the manifest states it
            raise NotFoundError(
                f"{name} {version} has lost {file}: {error}; let its publisher publish the same "
                "crate once more, which puts it back"
            ) from error


class _Copied:
    """A sink that another one stands behind, which sets the limit."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.data = bytearray()

    @property
    def received(self) -> int:
        return self._sink.received

    def write(self, chunk: bytes) -> None:
        self._sink.write(chunk)
        self.data += chunk

    def restart(self) -> None:
        self._sink.restart()
        self.data.clear()


class Remembered:
    """What the cache remembers of a registry, as a registry; asks nobody."""

    def __init__(self, folder: Path, where: str) -> None:
        self._folder = folder
        self.where = where

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the versions that were pulled before, the oldest first by SemVer."""
        with reading(self._folder):
            found = list((self._folder / name).glob(f"*/{MANIFEST}"))
        return in_order(path.parent.name for path in found)

    def published(self, name: str, version: str) -> bool:
        """Return whether the version was pulled before."""
        path = self._folder / name / version / MANIFEST
        with reading(path):
            return path.is_file()

    def fetch(self, name: str, version: str, file: str, sink: Sink) -> None:
        """Give what is remembered; no file's body is."""
        path = self._folder / name / version / file
        with reading(path):
            if not anything_at(path):
                raise NotFoundError(
                    f"{file} of {name} {version} is not in the cache: pull it once with "
                    f"{self.where} in reach"
                )
            with open_regular(path) as source:
                while piece := source.read(_PIECE):
                    sink.write(piece)

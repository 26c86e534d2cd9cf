"""What a registry can do, and which one an address means.

A registry keeps files under a name and a version. Readers see a version whole
or not at all; a `Draft` is a version on its way that no reader sees yet.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Protocol

from torchcrate.errors import RegistryError, UsageError
from torchcrate.export.artifact import Artifact
from torchcrate.files import reading

Progress = Callable[[str, int, int], None]
"""Called with a file's name, the bytes moved so far and the bytes in all."""

Notice = Callable[[str], None]
"""Called with one line for people, say about a retry."""


def silent(*_: object) -> None:
    """Say nothing; the default for `Progress` and `Notice`."""


class NotFoundError(RegistryError):
    """The registry has no such name, version or file."""


class UnlistableError(NotFoundError):
    """The registry gives its files to who knows their names, but no list of them."""


class Sink(Protocol):
    """Where the bytes of a download go."""

    @property
    def received(self) -> int:
        """How many bytes stand so far."""

    def write(self, chunk: bytes) -> None:
        """Append `chunk`.

        Raises:
            RegistryError: If that is more than was expected.
        """

    def restart(self) -> None:
        """Forget what was received: the sender begins again."""


@dataclass(frozen=True)
class Upload:
    """The bytes of one file on their way to a registry.

    Attributes:
        name: Flat file name in the registry.
        size: Bytes.
        sha256: Lower-case hexadecimal digest of those bytes.
        open: Opens them from the start; called again for each try.
    """

    name: str
    size: int
    sha256: str
    open: Callable[[], BinaryIO]

    @classmethod
    def of_file(cls, path: Path, file: Artifact) -> "Upload":
        """Take the file at `path`, which the manifest states as `file`."""

        def opened() -> BinaryIO:
            with reading(path):
                return path.open("rb")

        return cls(file.name, file.size, file.sha256, opened)

    @classmethod
    def of_bytes(cls, name: str, data: bytes) -> "Upload":
        """Take `data`, already in memory."""
        return cls(name, len(data), hashlib.sha256(data).hexdigest(), lambda: BytesIO(data))


@dataclass(frozen=True)
class Copy:
    """One stored copy of a file; of two with one name readers get the newer.

    Attributes:
        file: The file's name.
        sha256: Lower-case hexadecimal digest of its bytes.
        id: By what the registry knows this very copy.
    """

    file: str
    sha256: str
    id: str


class Draft(Protocol):
    """A version on its way: no reader sees it before `release`."""

    def held(self, file: str) -> str | None:
        """Return the sha256 that the registry holds under this file name, or None."""

    def add(self, upload: Upload) -> None:
        """Store one file and prove by its sha256 that it arrived whole.

        Raises:
            TakenError: If another publisher released this version meanwhile.
            DuplicateError: If the registry keeps another file of this name.
            RegistryError: If it was refused, or arrived damaged.
        """

    def release(self, manifest: Upload) -> None:
        """Store the manifest and show the version to readers, in one step.

        Raises:
            As `add`.
        """


class TakenError(RegistryError):
    """Another publisher released the version first; compare with what stands."""


class DuplicateError(RegistryError):
    """The registry holds another file of this name, and keeps it."""

    def __init__(self, message: str, file: str) -> None:
        super().__init__(message)
        self.file = file


class Source(Protocol):
    """A place that versions are pulled from: a registry, or what is remembered of one."""

    @property
    def where(self) -> str:
        """Its address, for people; holds no secret."""

    def versions(self, name: str) -> tuple[str, ...]:
        """Return the published versions of `name`, the oldest first by SemVer.

        Raises:
            RegistryError: If the registry cannot be listed.
        """

    def published(self, name: str, version: str) -> bool:
        """Return whether readers see this version."""

    def fetch(self, name: str, version: str, file: str, sink: Sink) -> None:
        """Send the bytes of one file to `sink`; the caller judges them.

        Raises:
            NotFoundError: If there is no such file.
            RegistryError: If it cannot be had.
        """


class Registry(Source, Protocol):
    """A place that versions are published to and pulled from."""

    @property
    def rehearses(self) -> bool:
        """Whether a draft only shows what it would send."""

    def dates(self, name: str) -> dict[str, datetime | None]:
        """Return when each of `versions` was published, by version; None where nobody knows.

        Raises:
            RegistryError: If the registry cannot be listed.
        """

    def copies(self, name: str, version: str, names: Iterable[str]) -> tuple[Copy, ...] | None:
        """Return every copy of the version's files, the oldest first; None if readers see none.

        Args:
            name: Package name.
            version: SemVer.
            names: The files to look for, where this token may not list what there is.
        """

    def fetch_copy(self, name: str, version: str, copy: Copy, sink: Sink) -> None:
        """Send the bytes of one copy to `sink`, also of one that a newer copy hides.

        Raises:
            NotFoundError: If the registry cannot give it out.
        """

    def draft(
        self, name: str, version: str, on_progress: Progress, *, mend: bool = False
    ) -> AbstractContextManager[Draft]:
        """Begin, or take up again, a version that is not published yet.

        Args:
            name: Package name.
            version: SemVer.
            on_progress: Called while files are sent.
            mend: The version is published but damaged; what is added covers the damage.

        Raises:
            RegistryError: If this registry cannot mend.
        """

    def annotate(self, name: str, version: str, upload: Upload) -> None:
        """Add one file to a published version, or replace it, and prove that it arrived whole.

        Whether readers see the version is left as it is, and so is every other file.

        Raises:
            RegistryError: If it was refused, or arrived damaged.
        """


@contextmanager
def open_registry(
    address: str | None,
    env: Mapping[str, str],
    *,
    allow_http: bool = False,
    on_notice: Notice = silent,
    rehearse: Notice | None = None,
) -> Iterator[Registry]:
    """Give the registry that `address` means; its connections close with the block.

    Args:
        address: A folder, the URL of a GitLab project or of its API, or None for
            the project whose CI job runs this.
        env: The environment, for GitLab's addresses and tokens.
        allow_http: Send tokens without encryption to a host that is not this machine.
        on_notice: Called with one line for each retry.
        rehearse: If given, nothing is stored: it is called with one line for each request
            that is made to read, and for each that would be made to store.

    Raises:
        UsageError: If the address means no registry.
    """
    # Here and not above: a folder needs no HTTP client, which takes long to import.
    if address is None or "://" in address:
        from torchcrate.release.gitlab import GitLabRegistry
        from torchcrate.release.settings import Settings

        settings = Settings.from_env(address, env, allow_http=allow_http)
        with closing(GitLabRegistry(settings, on_notice, rehearse)) as registry:
            yield registry
        return
    if not address:
        raise UsageError("the registry's address is empty: give a folder or a GitLab project URL")
    from torchcrate.release.folder import FolderRegistry

    yield FolderRegistry(Path(address), rehearse)

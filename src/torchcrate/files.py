"""Files appear whole or not at all: written beside, flushed to disk, then renamed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torchcrate.errors import FolderError


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path`; a reader sees the old file or the new one, never a part.

    Raises:
        FolderError: If the folder cannot be written or the disk is full; no part is left.
    """
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which writes `path`, into one line for people.

    Raises:
        FolderError: For every OSError, with the system's own word for it.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FolderError(
            f"cannot write {path}: {reason}; name another folder or make room"
        ) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which reads `path`, into one line for people.

    Raises:
        FolderError: For every OSError, with the system's own word for it.
    """
    try:
        yield
    except OSError as error:
        raise FolderError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}"
        ) from error

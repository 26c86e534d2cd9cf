"""Files appear whole or not at all: written beside, flushed to disk, then renamed."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from torchcrate.errors import FolderError


def write_whole(path: Path, data: bytes) -> None:
    """Put `data` at `path`; a reader sees the old file or the new one, never a part.

    Raises:
        FolderError: If the folder cannot be written or the disk is full; no part is left.
    """
    with whole(path) as file:
        file.write(data)


@contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """Give a file to write, which stands at `path` when the block ends, and not before.

    Raises:
        FolderError: As `write_whole`.
    """
    partial = path.with_name(path.name + ".partial")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("w+b") as file:
                yield file
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
        FolderError: For every OSError, with the system's own word for it, and for links that
            lead in a circle.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise FolderError(
            f"cannot write {path}: {_reason(error)}; name another folder or make room"
        ) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError of the block, which reads `path`, into one line for people.

    Raises:
        FolderError: For every OSError, with the system's own word for it and the very file
            where that is known, and for links that lead in a circle.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        reason = _reason(error)
        named = getattr(error, "filename", None)
        raise FolderError(
            f"cannot read {named if isinstance(named, str) else path}: {reason}"
        ) from error


def anything_at(path: Path) -> bool:
    """Return whether something has this path, be it a link to nowhere.

    Raises:
        OSError: If that cannot be told.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def open_regular(path: Path) -> BinaryIO:
    """Open a file to read; never a FIFO, which would be waited for, nor a device.

    Raises:
        OSError: If it is no regular file, or cannot be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return path.open("rb")


def _reason(error: OSError | RuntimeError) -> str:
    """Return the system's own word; a RuntimeError that is no word on paths is a bug."""
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    if str(error).startswith("Symlink loop"):  # what `Path.resolve` says before Python 3.13
        return "too many levels of symbolic links"
    if isinstance(error.__context__, OSError):  # torch's archives complain once more of it
        return _reason(error.__context__)
    if "failed writing" in str(error):  # torch, of an archive that it writes by itself
        return "not all of it could be written"
    raise error

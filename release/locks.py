"""One process at a time: a lock that the kernel gives back when its holder dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from torchcrate.release.registry import Notice


@contextmanager
def alone(path: Path, what: str, on_notice: Notice) -> Iterator[BinaryIO]:
    """Give the file at `path`, made if missing, to one process at a time; the next one waits.

    The holder may rename or remove the file: who waited for it then begins anew.

    Args:
        path: The file to hold, opened to read and to append.
        what: What another process is doing when this one has to wait, for people.
        on_notice: Called with one line before waiting.

    Raises:
        OSError: If the file cannot be opened, or its disk knows no locks.
    """
    told = False
    while True:
        with _opened(path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    on_notice(f"waiting: another process {what}")
                told = True
                fcntl.flock(file, fcntl.LOCK_EX)
            if _stands(path, file):
                yield file
                return


@contextmanager
def folder_alone(folder: Path, on_notice: Notice) -> Iterator[None]:
    """Let a second process that fills `folder` wait for the first; nothing of it stays.

    Raises:
        OSError: As `alone`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = folder.with_name(f".{folder.name}.lock")
    with alone(path, f"is pulling into {folder}", on_notice):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _opened(path: Path) -> BinaryIO:
    """Open a file to read and to append; never what a link points at."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.fdopen(os.open(path, flags, 0o666), "a+b")


def _stands(path: Path, file: BinaryIO) -> bool:
    """Return whether `path` still names the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False

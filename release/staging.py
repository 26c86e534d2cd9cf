"""A hidden folder that becomes a visible one by one rename, or vanishes.

Whoever fills it holds a lock on it, so that the next one can tell what a killed
process left behind from what another process is filling right now.
"""

import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Give a fresh hidden folder beside `target`; it is gone when the block ends.

    The block moves the folder, or files out of it, to where they belong.
    What killed processes left for the same target is removed first.

    Raises:
        OSError: If the folder cannot be made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target)
    folder, lock = _claim(target)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def flush_folder(folder: Path) -> None:
    """Write the names in `folder` to disk, so that they outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def exchange(one: Path, other: Path) -> None:
    """Swap two folders; in one step where the system can (Linux's renameat2).

    Raises:
        OSError: If a rename is refused.
    """
    import ctypes  # here: few pulls need it, and it takes long to import

    libc = ctypes.CDLL(None, use_errno=True)
    swap = getattr(libc, "renameat2", None)
    paths = os.fsencode(one), os.fsencode(other)
    if swap and swap(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], _RENAME_EXCHANGE) == 0:
        return
    # Older systems and some network disks: two renames, with an instant between them.
    aside = _hidden(other)
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:
        aside.rename(other)
        raise
    aside.rename(one)


def _hidden(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}.partial")


def _claim(target: Path) -> tuple[Path, int]:
    """Make a hidden folder for `target` and lock it; return it with the open lock."""
    while True:
        folder = _hidden(target)
        folder.mkdir()  # by mkdir, so that the umask decides who may read it
        lock = None
        try:
            lock = os.open(folder, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder.stat()
        except FileNotFoundError:  # swept in the instant before it was locked
            if lock is not None:
                os.close(lock)
            continue
        return folder, lock


def sweep(target: Path) -> None:
    """Remove the folders that killed processes left for `target`."""
    ours = re.compile(re.escape(f".{target.name}.") + r"[0-9a-f]{16}\.partial")
    for left in target.parent.iterdir():
        if not ours.fullmatch(left.name):
            continue
        try:
            lock = os.open(left, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # its owner lives
        else:
            shutil.rmtree(left, ignore_errors=True)
        finally:
            os.close(lock)

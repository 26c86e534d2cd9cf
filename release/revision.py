"""A crate that gets other files: in a hidden copy, which takes its place whole, or not at all."""

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from torchcrate.export.artifact import Artifact, Role
from torchcrate.files import reading, write_whole, writing
from torchcrate.release.crate import DRAFT, stated, unseal, with_files
from torchcrate.release.manifest import SIGNATURE, YANKED, Manifest
from torchcrate.release.staging import exchange, flush_folder, staged


@contextmanager
def revising(crate: Path) -> Iterator[tuple[Path, Manifest]]:
    """Give a copy of a crate without its seal, and its draft; it becomes `crate` in the end.

    The copy shares its files with the crate: replace them, write into none. If the block fails,
    the crate stays as it was.

    Raises:
        ContractError: If `crate` is no crate.
        FolderError: If it cannot be read, or the copy cannot be made.
    """
    with reading(crate):
        names = [file.name for file in stated(crate).files]
        unlisted = {path.name for path in crate.iterdir()} - {*names, "__pycache__"}
    with writing(crate), staged(crate.resolve()) as folder:
        for name in (*names, *(unlisted - {SIGNATURE, YANKED})):
            _shared(crate / name, folder / name)
        yield folder, unseal(folder)
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        flush_folder(folder)
        exchange(folder, crate.resolve())
        flush_folder(crate.resolve().parent)


def restate(folder: Path, draft: Manifest, roles: Collection[Role], files: list[Artifact]) -> None:
    """Write a draft in which `files` take the place of all that have one of `roles`.

    The files that were replaced and are not among `files` are removed.

    Raises:
        FolderError: If the folder cannot be written.
    """
    kept = [file for file in draft.files if file.role not in roles]
    names = {file.name for file in files}
    with writing(folder):
        for file in draft.files:
            if file.role in roles and file.name not in names:
                (folder / file.name).unlink(missing_ok=True)
    write_whole(folder / DRAFT, with_files(draft, [*kept, *files]).dump())


def _shared(path: Path, target: Path) -> None:
    """Let `target` be the file at `path`, or a copy where the disk has no links."""
    try:
        os.link(path, target)
    except OSError:
        shutil.copy2(path, target)

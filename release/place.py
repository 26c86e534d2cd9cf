"""A checked crate takes its place in a folder, without losing what a person keeps there.

* Nothing there, or an empty folder: one rename.
* An earlier pull and nothing else: both folders are swapped in one step.
* Files of the user's own as well: they stay; each file of the crate replaces its
  forerunner by a rename, files that the new crate no longer has go, and the manifest
  comes last. A process killed in between leaves a crate that `sha256sum -c` refuses
  and that the same pull repairs.
* A file that was edited, or was never ours, under a name that the crate needs: refused.

A crate of some formats only is treated alike: the folder holds what was pulled last, and
the files of formats that are no longer asked for go as those of an old version do.
"""

from pathlib import Path

from torchcrate.errors import CrateError, FolderError
from torchcrate.export.artifact import sha256_of
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS, Manifest
from torchcrate.release.staging import exchange, flush_folder

_DISPOSABLE = "__pycache__"  # Python makes it when a runner of the crate runs


def place(folder: Path, out: Path) -> None:
    """Move a whole crate from the hidden `folder` to `out`.

    Args:
        folder: Holds the crate's files and nothing else, all of them checked.
        out: An absolute path without links; need not exist.

    Raises:
        FolderError: If a file that is not an unchanged earlier pull's is in the way.
        OSError: If the system refuses a rename; `out` is then as the module says.
    """
    new = {path.name for path in folder.iterdir()}
    present = {path.name for path in out.iterdir()} - {folder.name} if out.exists() else set()
    stated = _stated(out)
    old = {name for name in present if _intact(out, name, stated)}
    same = {name for name in present & new if _equal(folder / name, out / name)}
    in_the_way = sorted((present & new) - old - same)
    if in_the_way:
        raise FolderError(
            f"{out} holds another {', '.join(in_the_way)}: move it away, or name another folder"
        )
    if same == new and not old - new:
        return
    kept = present - old - same - {_DISPOSABLE}
    # A shell that stands in a folder would keep standing in the one swapped away.
    if kept or out.is_mount() or Path.cwd().is_relative_to(out):
        _move_in(folder, out, sorted(new), sorted(old - new))
    elif present:
        exchange(folder, out)
    else:
        folder.rename(out)
    flush_folder(out.parent)


def _move_in(folder: Path, out: Path, names: list[str], gone: list[str]) -> None:
    last = [SUMS, MANIFEST]
    for name in [name for name in names if name not in last]:
        (folder / name).replace(out / name)
    for name in gone:
        (out / name).unlink()
    for name in last:
        (folder / name).replace(out / name)
    flush_folder(out)


def _stated(out: Path) -> dict[str, str]:
    """Return the sha256 by file name of the crate that stands in `out`; empty if none does."""
    path = out / MANIFEST
    if not _is_file(path):
        return {}
    try:
        manifest = Manifest.parse(path.read_bytes())
    except CrateError:
        return {}
    return {file.name: file.sha256 for file in manifest.files}


def _intact(out: Path, name: str, stated: dict[str, str]) -> bool:
    """Return whether a file of `out` is as the crate that stands there states it."""
    if name in (MANIFEST, SIGNATURE, SUMS):
        return bool(stated) and _is_file(out / name)
    return name in stated and _is_file(out / name) and sha256_of(out / name) == stated[name]


def _equal(one: Path, other: Path) -> bool:
    return _is_file(other) and sha256_of(one) == sha256_of(other)


def _is_file(path: Path) -> bool:
    """Return whether `path` is a file itself, not a link to one."""
    return path.is_file() and not path.is_symlink()

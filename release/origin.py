"""Where a crate comes from: the version its folder states and the commit it is at."""

import subprocess
from pathlib import Path

from torchcrate.errors import UsageError
from torchcrate.release.manifest import check_version


def version_of(folder: Path) -> str:
    """Return the version that the file VERSION in `folder` states.

    Raises:
        UsageError: If there is no such file, or it holds no version.
    """
    path = folder / "VERSION"
    try:
        return check_version(path.read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: pass --version, or write one there") from error


def commit_of(folder: Path) -> str:
    """Return the git commit of `folder`, with `-dirty` if files changed since; else nothing."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return ""  # git is not installed
    return done.stdout.strip() if done.returncode == 0 else ""

"""Where a crate comes from: the version its folder states and the commit it is at."""

import re
import subprocess
import tomllib
from dataclasses import dataclass
from pathlib import Path

from torchcrate.errors import UsageError
from torchcrate.release.manifest import check_version


@dataclass(frozen=True)
class NextRelease:
    """The next release, as the files of a repository state it.

    Attributes:
        version: What stands there, not yet judged.
        where: The file, for people: VERSION or pyproject.toml.
    """

    version: str
    where: str


def next_release(folder: Path) -> NextRelease | None:
    """Return what the file VERSION in `folder` states, else `project.version` in pyproject.toml.

    Raises:
        UsageError: If one of them is there and cannot be read.
    """
    file = folder / "VERSION"
    try:
        return NextRelease(file.read_text("utf-8").strip(), file.name)
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: write the next release there") from error
    file = folder / "pyproject.toml"
    try:
        project = tomllib.loads(file.read_text("utf-8")).get("project")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {str(error).lower()}") from error
    version = project.get("version") if isinstance(project, dict) else None
    return NextRelease(version, file.name) if isinstance(version, str) else None


def version_of(folder: Path) -> str:
    """Return the version that the files in `folder` state.

    Raises:
        UsageError: If they state none, or what they state is no version.
    """
    found = next_release(folder)
    if found is None:
        raise UsageError(
            f"{folder} states no version: pass --version, or write one into the file VERSION"
        )
    return check_version(found.version)


def commit_of(folder: Path) -> str:
    """Return the git commit of `folder`, with `-dirty` if files changed since; else nothing."""
    return _git(folder, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")


def project_of(folder: Path) -> str:
    """Return the page of the project that `folder` was cloned from; "" if it was from nowhere."""
    remote = _git(folder, "remote", "get-url", "origin").removesuffix("/").removesuffix(".git")
    if remote.startswith(("http://", "https://")):
        # A password may stand before the host, up to the last @, and belongs on no page.
        scheme, _, rest = remote.partition("://")
        host, slash, path = rest.partition("/")
        while "@" in path.partition("/")[0]:  # an unquoted slash in it
            host, slash, path = path.partition("/")
        return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    found = re.fullmatch(r"(?:ssh://)?(?:\w+@)?([\w.-]+):(?:\d+/)?([\w./-]+)", remote)
    return f"https://{found[1]}/{found[2]}" if found else ""


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError:
        return ""  # git is not installed
    return done.stdout.strip() if done.returncode == 0 else ""

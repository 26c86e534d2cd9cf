"""NAME@VERSION: one version for good, the latest, or the newest inside a range."""

from collections.abc import Iterable

import semver

from torchcrate.errors import UsageError
from torchcrate.release.manifest import check_name, check_version
from torchcrate.release.ranges import Range

LATEST = "latest"


def split_reference(reference: str) -> tuple[str, str]:
    """Return the name and the version of `NAME@VERSION`; the version may be "latest" or a range.

    Raises:
        UsageError: If it is not of that form.
    """
    name, at, version = reference.partition("@")
    if not at:
        raise UsageError(f"{reference!r} names no version: write NAME@VERSION or NAME@{LATEST}")
    if not names_one(version) and version != LATEST:
        Range.parse(version)
    return check_name(name), version


def split_exact(reference: str) -> tuple[str, str]:
    """Return the name and the version of `NAME@VERSION`, which names one version for good.

    Raises:
        UsageError: If it does not.
    """
    name, version = split_reference(reference)
    if not names_one(version):
        raise UsageError(f"{reference} may be another version tomorrow: name the one that is meant")
    return name, version


def names_one(version: str) -> bool:
    """Return whether `version` is that of one version, and not "latest" or a range."""
    try:
        check_version(version)
    except UsageError:
        return False
    return True


def in_order(versions: Iterable[str]) -> tuple[str, ...]:
    """Return `versions` by SemVer, the oldest first, less what is no version of ours."""
    ours = {version for version in versions if names_one(version)}
    return tuple(sorted(ours, key=semver.Version.parse))

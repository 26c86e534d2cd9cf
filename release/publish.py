"""A sealed crate becomes a version in a registry: whole, once, and never changed after."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torchcrate.errors import RegistryError
from torchcrate.release.compatibility import require_major_step
from torchcrate.release.crate import open_sealed
from torchcrate.release.leftover import adopt
from torchcrate.release.manifest import MANIFEST, SUMS, Manifest
from torchcrate.release.receive import DamagedError, receive_manifest
from torchcrate.release.registry import (
    Draft,
    NotFoundError,
    Notice,
    Progress,
    Registry,
    TakenError,
    Upload,
    silent,
)
from torchcrate.release.yank import refuse_yanked


@dataclass(frozen=True)
class Published:
    """A version that readers see.

    Attributes:
        name: Package name.
        version: SemVer.
        where: The registry's address.
        uploaded: The files that this run sent, in the order they were sent.
        kept: The files that an earlier, unfinished run had sent already.
        already_there: Whether the version was published before, with the same content.
    """

    name: str
    version: str
    where: str
    uploaded: tuple[str, ...]
    kept: tuple[str, ...]
    already_there: bool


def publish(
    crate: Path,
    registry: Registry,
    on_progress: Progress = silent,
    on_notice: Notice = silent,
) -> Published:
    """Publish the sealed crate at `crate`; the same content again is a success.

    Content goes first, then evidence, then the sums; the manifest, last, makes the
    version visible.

    Raises:
        ContractError: If the crate is not sealed, or changed since, or its contract
            changed and its major number did not.
        ParityError: If it is not green.
        RegistryError: If the version is published with other content or yanked, or the
            registry refused, lost or altered a file. No reader sees a part.
    """
    manifest = open_sealed(crate)
    mend = False
    if registry.published(manifest.name, manifest.version):
        refuse_yanked(registry, manifest.name, manifest.version)
        try:
            return _same(manifest, registry)
        except DamagedError:
            mend = True  # the last request of an earlier run arrived damaged
    require_major_step(manifest, registry, on_notice)
    try:
        with registry.draft(manifest.name, manifest.version, on_progress, mend=mend) as draft:
            return _fill(crate, manifest, draft, registry, mend)
    except TakenError:
        return _same(manifest, registry)


def _fill(
    crate: Path, manifest: Manifest, draft: Draft, registry: Registry, mend: bool
) -> Published:
    """Send what the draft does not hold yet, release it, and read every hash again."""
    held = {name: draft.held(name) for name in (*(file.name for file in manifest.files), SUMS)}
    if mend:
        _refuse_other_content(manifest, held, registry)
    manifest = adopt(manifest, held, registry)
    uploads = _uploads(crate, manifest)
    missing = [upload for upload in uploads if held[upload.name] != upload.sha256]
    for upload in missing:
        draft.add(upload)
    last = _upload(MANIFEST, manifest.dump())
    draft.release(last)
    uploaded = [*missing, last, *_cover([*uploads, last], draft)]
    return Published(
        manifest.name,
        manifest.version,
        registry.where,
        uploaded=tuple(upload.name for upload in uploaded),
        kept=tuple(upload.name for upload in uploads if upload not in missing),
        already_there=False,
    )


def _cover(uploads: list[Upload], draft: Draft) -> list[Upload]:
    """Send again what another publisher's late upload hides; return what was sent.

    Raises:
        TakenError: If the manifest that stands is another publisher's.
    """
    stands = draft.listed([upload.name for upload in uploads])
    hidden = [upload for upload in uploads if stands[upload.name] != upload.sha256]
    if any(upload.name == MANIFEST for upload in hidden):
        raise TakenError("another publisher released this version at the same time")
    for upload in hidden:
        draft.add(upload)
    return hidden


def _refuse_other_content(
    ours: Manifest, held: Mapping[str, str | None], registry: Registry
) -> None:
    """Mend nothing but our own content."""
    other = [
        file.name
        for file in ours.files
        if file.kind == "content" and held[file.name] not in (None, file.sha256)
    ]
    if other:
        raise RegistryError(
            f"{ours.name} {ours.version} is already published in {registry.where} with a damaged "
            f"{MANIFEST} and other content, {', '.join(other)}: take the next version number"
        )


def _uploads(crate: Path, manifest: Manifest) -> list[Upload]:
    """Return all files but the manifest, in the order in which they are sent."""
    ordered = sorted(manifest.files, key=lambda file: file.kind != "content")
    files = [Upload.of_file(crate / file.name, file) for file in ordered]
    return [*files, _upload(SUMS, manifest.sums())]


def _upload(name: str, data: bytes) -> Upload:
    return Upload.of_bytes(name, data, hashlib.sha256(data).hexdigest())


def _same(ours: Manifest, registry: Registry) -> Published:
    """Compare with the version that stands; its evidence counts, not ours.

    Raises:
        RegistryError: If the content differs, with the files that do.
    """
    what = f"{ours.name} {ours.version}"
    try:
        theirs, _, _ = receive_manifest(registry, ours.name, ours.version)
    except NotFoundError as error:
        raise RegistryError(
            f"{registry.where} lists {what} without {MANIFEST}, so it was not published by "
            "torchcrate: let a Maintainer delete it, or take the next version number"
        ) from error
    if theirs.content != ours.content:
        files = ", ".join(_differing(ours, theirs))
        raise RegistryError(
            f"{what} is already published in {registry.where} with other content, {files}: "
            "a published version is never changed, take the next version number"
        )
    return Published(ours.name, ours.version, registry.where, (), (), already_there=True)


def _differing(ours: Manifest, theirs: Manifest) -> list[str]:
    """Return the content files that are not the same in both, sorted by name."""
    here, there = (
        {(file.name, file.sha256) for file in manifest.files if file.kind == "content"}
        for manifest in (ours, theirs)
    )
    return sorted({name for name, _ in here ^ there})

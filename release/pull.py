"""A published version comes into a folder: checked first, then all of it at once.

What is pulled grows in a hidden folder beside the target, and only when every
size and sha256 is right does it appear there; see `place` for what may stand there.
"""

import os
from pathlib import Path

from torchcrate.files import writing
from torchcrate.release.history import newest
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS, Manifest
from torchcrate.release.place import place
from torchcrate.release.receive import Parcel, receive_manifest
from torchcrate.release.registry import (
    LATEST,
    Notice,
    Progress,
    Registry,
    silent,
    split_reference,
)
from torchcrate.release.staging import flush_folder, staged
from torchcrate.release.trust.signature import check_key
from torchcrate.release.trust.suspect import examine
from torchcrate.release.trust.vouch import receive_signature
from torchcrate.release.yank import warn_if_yanked


def pull(
    reference: str,
    registry: Registry,
    out: Path,
    on_progress: Progress = silent,
    *,
    pre: bool = False,
    verify_key: Path | None = None,
    on_notice: Notice = silent,
) -> Manifest:
    """Bring `NAME@VERSION` or `NAME@latest` into the folder `out`.

    Args:
        reference: What to pull; `latest` is the newest by SemVer.
        registry: Where to pull from.
        out: Where to; made if missing. An earlier pull there is replaced.
        on_progress: Called while files arrive.
        pre: Whether `latest` may be a pre-release.
        verify_key: An EC public key, PEM; what is not signed with it is not pulled. Without
            one the bytes are held to the manifest, and nobody says whose manifest it is.
        on_notice: Called with one line if the version is yanked; `latest` never is.

    Raises:
        UsageError: If the reference is none.
        NotFoundError: If there is no such version.
        RegistryError: If anything that came is not what the manifest states.
        TrustError: If the version is not signed with `verify_key`, or holds a hostile file.
        FolderError: If `out` cannot be written, or holds files that would be lost.
    """
    name, wanted = split_reference(reference)
    if verify_key:
        check_key(verify_key)
    version = newest(registry, name, pre=pre) if wanted == LATEST else wanted
    small: dict[str, bytes] = {}

    def vouch(stated: bytes) -> None:
        signature = receive_signature(registry, name, version, stated, verify_key)
        if signature is not None:
            small[SIGNATURE] = signature

    manifest, small[MANIFEST], small[SUMS] = receive_manifest(registry, name, version, vouch)
    if wanted != LATEST:
        warn_if_yanked(registry, name, version, on_notice)
    target = out.resolve()
    # A mount point cannot be renamed, and its neighbours are on another disk.
    beside = target / "crate" if target.is_mount() else target
    with writing(out), staged(beside) as folder:
        for file in manifest.files:
            with Parcel(folder / file.name, file, registry.where, on_progress) as parcel:
                registry.fetch(name, version, file.name, parcel)
                parcel.accept(os.fsync)
        examine(folder, manifest)
        for file_name, data in small.items():
            _write(folder / file_name, data)
        flush_folder(folder)
        place(folder, target)
    return manifest


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

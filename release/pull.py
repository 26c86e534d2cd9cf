"""A published version comes into a folder: checked first, then all of it at once.

What is pulled grows in a hidden folder beside the target, and only when every
size and sha256 is right does it appear there; see `place` for what may stand there.
"""

import os
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from torchcrate.errors import RegistryError, UsageError
from torchcrate.export.artifact import Artifact
from torchcrate.files import writing
from torchcrate.release.cache import Cache, CacheError
from torchcrate.release.history import newest
from torchcrate.release.locks import folder_alone
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS, Manifest
from torchcrate.release.offline import Remembered, Witness
from torchcrate.release.place import place
from torchcrate.release.receive import AlteredError, DamagedError, Parcel, receive_manifest
from torchcrate.release.reference import names_one, split_reference
from torchcrate.release.registry import Notice, Progress, Registry, Sink, Source, silent
from torchcrate.release.retry import PassingError
from torchcrate.release.staging import flush_folder, staged
from torchcrate.release.trust.signature import check_key
from torchcrate.release.trust.suspect import examine
from torchcrate.release.trust.vouch import receive_signature
from torchcrate.release.yank import warn_if_yanked

_ROUNDS = 3  # a manifest that changes more often while it is pulled is no published one


@dataclass(frozen=True)
class Wanted:
    """What to pull and how; see `pull`."""

    out: Path
    only: Collection[str]
    verify_key: Path | None
    cache: Cache | None
    on_progress: Progress
    on_total: Callable[[int], None]
    on_notice: Notice


def pull(
    reference: str,
    registry: Registry,
    out: Path,
    on_progress: Progress = silent,
    *,
    pre: bool = False,
    verify_key: Path | None = None,
    only: Collection[str] = (),
    cache: Cache | None = None,
    offline: bool = False,
    on_total: Callable[[int], None] = silent,
    on_notice: Notice = silent,
) -> Manifest:
    """Bring `NAME@VERSION`, `NAME@latest` or `NAME@RANGE` into the folder `out`.

    A second pull into the same folder waits for the first.

    Args:
        reference: What to pull; `latest` is the newest by SemVer, a range the newest inside.
        registry: Where to pull from.
        out: Where to; made if missing. An earlier pull there is replaced.
        on_progress: Called while files arrive.
        pre: Whether `latest` or a range may be a pre-release.
        verify_key: An EC public key, PEM; what is not signed with it is not pulled. Without
            one the bytes are held to the manifest, and nobody says whose manifest it is.
        only: Formats whose files are wanted, with what all formats need; all if empty.
        cache: Where bytes that were pulled before are taken from, and kept for later.
        offline: Ask the cache alone; `latest` and a range are then the newest version in it.
        on_total: Called with the bytes of all files before the first one arrives.
        on_notice: Called with one line if the version is yanked, which `latest` never is, and
            before waiting, or going on without registry or cache.

    Raises:
        UsageError: If the reference is none, or there is no such format.
        NotFoundError: If there is no such version.
        RegistryError: If anything that came is not what the manifest states.
        TrustError: If the version is not signed with `verify_key`, or holds a hostile file.
        FolderError: If `out` cannot be written, or holds files that would be lost.
    """
    name, version = split_reference(reference)
    if verify_key:
        check_key(verify_key)
    wanted = Wanted(out, only, verify_key, cache, on_progress, on_total, on_notice)
    if offline and cache is None:
        raise UsageError("there is no cache to pull from: pull without --offline")
    known = Remembered(cache.remembered(registry.where), registry.where) if cache else None
    if known and offline:
        return _offline(name, version, known, wanted, pre=pre)
    if not names_one(version):
        version = newest(registry, name, version, pre=pre)
    try:
        return _remembered(name, version, registry, wanted)
    except PassingError as error:
        if not known or not known.published(name, version):
            raise
        on_notice(f"{error}; going on with the cache")
        return _offline(name, version, known, wanted, pre=pre)


def _offline(name: str, version: str, known: Remembered, wanted: Wanted, *, pre: bool) -> Manifest:
    """Pull what the cache remembers of a registry."""
    if not names_one(version):
        version = newest(known, name, version, pre=pre)
    wanted.on_notice(
        f"{name} {version} is as it was when it was last pulled from {known.where}: "
        "a yank or a newer version since then cannot be seen"
    )
    return _pulled(name, version, known, wanted)


def _remembered(name: str, version: str, registry: Registry, wanted: Wanted) -> Manifest:
    """Pull from the registry, and let the cache remember what it said."""
    witness = Witness(registry)
    manifest = _pulled(name, version, witness, wanted)
    if wanted.cache is not None:
        try:
            wanted.cache.remember(registry.where, name, version, witness.seen)
        except CacheError as error:
            wanted.on_notice(f"{error}; this version cannot be pulled offline")
    return manifest


def _pulled(name: str, version: str, source: Source, wanted: Wanted) -> Manifest:
    """Pull one version, anew where another publisher changes it meanwhile."""
    refused: bytes | None = None
    altered: AlteredError | None = None
    for number in range(_ROUNDS):
        small: dict[str, bytes] = {}
        vouch = partial(_vouch, name, version, source, wanted.verify_key, small)
        try:
            manifest, small[MANIFEST], small[SUMS] = receive_manifest(source, name, version, vouch)
        except DamagedError:
            if number:
                raise
            continue  # a line can damage what it carries
        if refused is None:
            warn_if_yanked(source, name, version, wanted.on_notice)
        try:
            _whole(manifest, small, source, wanted)
        except AlteredError as error:
            if small[MANIFEST] == refused:
                break
            refused, altered = small[MANIFEST], error
        else:
            return manifest
    raise RegistryError(
        f"{altered}; a late upload may shadow it: try again later, or let its publisher publish "
        "the same crate once more, which covers it"
    ) from altered


def _vouch(
    name: str,
    version: str,
    source: Source,
    key: Path | None,
    small: dict[str, bytes],
    stated: bytes,
) -> None:
    """Hold a manifest to `key` before it is read, and keep its signature with what is small."""
    signature = receive_signature(source, name, version, stated, key)
    if signature is not None:
        small[SIGNATURE] = signature


def _whole(manifest: Manifest, small: dict[str, bytes], source: Source, wanted: Wanted) -> None:
    """Bring every file that is wanted into a hidden folder, then let all of them appear."""
    files = manifest.only(wanted.only)
    wanted.on_total(sum(file.size for file in files))
    with writing(wanted.out):
        target = wanted.out.resolve()
        # A mount point cannot be renamed, and its neighbours are on another disk.
        beside = target / "crate" if target.is_mount() else target
        alone = folder_alone(beside, wanted.on_notice)
        with alone, staged(beside) as folder:
            _bring(manifest, files, folder, source, wanted)
            examine(folder, manifest)
            for name, data in small.items():
                _write(folder / name, data)
            flush_folder(folder)
            place(folder, target)


def _bring(
    manifest: Manifest,
    files: Collection[Artifact],
    folder: Path,
    source: Source,
    wanted: Wanted,
) -> None:
    """Bring files into `folder`, out of the cache and through it as far as it can be used."""
    cache, held = wanted.cache, 0
    for file in files:
        fetch = partial(source.fetch, manifest.name, manifest.version, file.name)
        receive = partial(_receive, file, source.where, fetch, wanted.on_progress)
        if cache is not None:
            try:
                if cache.bring(file, folder / file.name, receive):
                    held += 1
                    wanted.on_progress(file.name, file.size, file.size)
                continue
            except CacheError as error:
                wanted.on_notice(f"{error}; going on without it")
                cache = None
        with (folder / file.name).open("x+b") as whole:
            receive(whole)
            os.fsync(whole.fileno())
    if held:
        wanted.on_notice(f"{held} of {len(files)} files were in the cache")


def _receive(
    file: Artifact,
    where: str,
    fetch: Callable[[Sink], None],
    on_progress: Progress,
    growing: BinaryIO,
) -> None:
    Parcel(growing, file, where, on_progress).fill(fetch)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())

"""Who vouches for a crate: the signature in a registry or in a folder, held to a public key.

The signature covers manifest.json, which states the sha256 of every other file. So a
folder with manifest.json, manifest.sig and any one file is enough to judge that file.
"""

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torchcrate.errors import ContractError, TrustError
from torchcrate.export.artifact import Artifact, sha256_of
from torchcrate.files import open_regular, reading
from torchcrate.release.manifest import LARGEST, MANIFEST, SIGNATURE, SUMS, YANKED, Manifest
from torchcrate.release.receive import receive_small
from torchcrate.release.registry import NotFoundError, Source
from torchcrate.release.trust.signature import verify


def receive_signature(
    registry: Source, name: str, version: str, manifest: bytes, key: Path | None
) -> bytes | None:
    """Return the signature of a published version, held to `key` if there is one.

    Args:
        registry: Where the version is.
        name: Package name.
        version: SemVer.
        manifest: The bytes that the registry gave as its manifest, not yet believed.
        key: A PEM file with an EC public key; None takes whatever is there, None if nothing.

    Raises:
        TrustError: If there is a key, and the version is not signed with it as it stands.
        RegistryError: If the signature cannot be had.
    """
    try:
        signature = receive_small(registry, name, version, SIGNATURE)
    except NotFoundError as error:
        if key is None:
            return None
        raise TrustError(
            f"{name} {version} in {registry.where} is not signed: "
            "ask its publisher to sign, or pull without a key to hold it to"
        ) from error
    if key is not None:
        try:
            verify(manifest, signature, key)
        except TrustError as error:
            raise TrustError(f"{name} {version} in {registry.where}: {error}") from error
    return signature


@dataclass(frozen=True)
class Checked:
    """A signed crate, or the part of it that is here.

    Attributes:
        name: Package name, as signed.
        version: SemVer, as signed.
        checked: The files that are here and the very ones that were signed.
        absent: Files of the crate that were not looked at: not here, or not asked for.
        foreign: Files beside them that the signature says nothing of.
    """

    name: str
    version: str
    checked: tuple[str, ...]
    absent: tuple[str, ...]
    foreign: tuple[str, ...]


def check(path: Path, key: Path) -> Checked:
    """Hold a pulled folder, or one file in it, to the signature that lies there.

    Args:
        path: A folder that holds manifest.json, manifest.sig and any files of the crate,
            or one file in such a folder.
        key: A PEM file with an EC public key.

    Raises:
        TrustError: If the signature is missing or not of this key, or a file that is here
            is not the one that was signed.
        ContractError: If there is no manifest, or the file named is none of its crate's.
        FolderError: If something cannot be read.
    """
    with reading(path):
        whole = stat.S_ISDIR(path.stat().st_mode)
        folder = path if whole else path.parent
        manifest = _signed_manifest(folder, key)
        here = {entry.name for entry in folder.iterdir()} if whole else {path.name}
    listed = {file.name: file for file in manifest.files}
    own = {MANIFEST, SIGNATURE, SUMS, YANKED}
    if not whole and path.name not in listed.keys() | own:
        raise ContractError(
            f"{path} is not a file of {manifest.name} {manifest.version}, "
            f"which {folder / MANIFEST} lists: name one that is"
        )
    checked = [_same(folder, listed[name]) for name in sorted(here & listed.keys())]
    if SUMS in here:
        _same_sums(folder, manifest)
    return Checked(
        manifest.name,
        manifest.version,
        checked=tuple(checked),
        absent=tuple(sorted(listed.keys() - here)),
        foreign=tuple(sorted(here - listed.keys() - own)),
    )


def sentence(checked: Checked, key: Path) -> str:
    """Return what was checked, and what was not, for people."""
    parts = [
        f"{checked.name} {checked.version}: {MANIFEST} is signed with {key.name}",
        f"{_files(checked.checked)} as signed" if checked.checked else "no other file is here",
    ]
    if checked.absent:
        parts.append(f"{_files(checked.absent)} not looked at")
    if checked.foreign:
        parts.append(f"{_files(checked.foreign)} not signed")
    return "; ".join(parts)


def _files(names: Sequence[str]) -> str:
    return f"{', '.join(names)} is" if len(names) == 1 else f"{len(names)} files are"


def _signed_manifest(folder: Path, key: Path) -> Manifest:
    manifest, signature = folder / MANIFEST, folder / SIGNATURE
    if not manifest.is_file():
        raise ContractError(f"{folder} holds no {MANIFEST}: name a folder that was pulled into")
    if not signature.is_file():
        raise TrustError(f"{folder} holds no {SIGNATURE}: the version is not signed, or pull again")
    data = _small(manifest)
    try:
        verify(data, _small(signature), key)
        return Manifest.parse(data)
    except (TrustError, ContractError) as error:
        raise type(error)(f"{folder}: {error}") from error


def _small(path: Path) -> bytes:
    with reading(path), open_regular(path) as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise TrustError(f"{path} is larger than {LARGEST} bytes, no such file is")
    return data


def _same_sums(folder: Path, manifest: Manifest) -> None:
    if _small(folder / SUMS) != manifest.sums(_small(folder / MANIFEST)):
        raise TrustError(f"{folder / SUMS} does not say what was signed: pull it again")


def _same(folder: Path, file: Artifact) -> str:
    path = folder / file.name
    with reading(path):
        if path.stat().st_size != file.size or sha256_of(path) != file.sha256:
            raise TrustError(f"{path} is not the file that was signed: pull it again")
    return file.name

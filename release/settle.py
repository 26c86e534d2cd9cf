"""What stands once a version is released: whose manifest counts, and what hides a part of it.

GitLab has no lock. Two publishers of one version can both release it, and of two copies
with one name readers get the newer. So a publisher looks again after its release:

* the first sound manifest counts, in the order in which the registry stored them;
* each file that it states and that a later upload hides is covered by the stated bytes;
* a publisher with other content has lost, and is told so once its uploads are covered.

A publisher that is killed after such a late upload, and before it looked, leaves a version
with a file that its manifest does not state. Pull refuses that with this reason, and
publishing the crate again covers the file.
"""

from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from tempfile import TemporaryFile

from torchcrate.errors import CrateError, RegistryError
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS, YANKED, Manifest
from torchcrate.release.receive import DamagedError, Spool, receive_small
from torchcrate.release.registry import Copy, NotFoundError, Registry, Upload


@dataclass(frozen=True)
class Standing:
    """A version that readers see.

    Attributes:
        manifest: The one that counts.
        made: The bytes of the manifest and of the sums, by name; the manifest states all others.
        copies: Everything that is stored, the oldest first.
    """

    manifest: Manifest
    made: dict[str, Upload]
    copies: tuple[Copy, ...] = field(repr=False)

    def hidden(self, sent: Collection[Upload]) -> dict[str, str]:
        """Return the sha256 that readers should get, by name, of each file where they do not.

        Args:
            sent: What this publisher uploaded: tells its signature from another publisher's.
        """
        served = {copy.file: copy.sha256 for copy in self.copies}
        stated = {file.name: file.sha256 for file in self.manifest.files}
        stated |= {name: upload.sha256 for name, upload in self.made.items()}
        stated |= self._signature({upload.name: upload.sha256 for upload in sent})
        return {name: sha256 for name, sha256 in stated.items() if served.get(name) != sha256}

    def _signature(self, sent: Mapping[str, str]) -> dict[str, str]:
        """Return the sha256 of the signature over the manifest that counts, if it is known."""
        if SIGNATURE not in sent:
            return {}  # nothing of ours can hide it
        if sent.get(MANIFEST) == self.made[MANIFEST].sha256:
            return {SIGNATURE: sent[SIGNATURE]}
        signatures = [copy.sha256 for copy in self.copies if copy.file == SIGNATURE]
        others = [sha256 for sha256 in signatures if sha256 != sent[SIGNATURE]]
        return {SIGNATURE: others[-1]} if others else {}


def standing(registry: Registry, ours: Manifest) -> Standing | None:
    """Return what readers see of the version that `ours` names; None if they see nothing.

    Raises:
        DamagedError: If no manifest that stands there is sound.
        RegistryError: If none stands there at all, or the registry cannot be asked.
    """
    what = f"{ours.name} {ours.version}"
    names = (*(file.name for file in ours.files), SUMS, SIGNATURE, MANIFEST, YANKED)
    copies = registry.copies(ours.name, ours.version, names)
    if copies is None:
        return None
    manifests = {copy.sha256: copy for copy in copies if copy.file == MANIFEST}
    if not manifests:
        raise RegistryError(
            f"{registry.where} lists {what} without {MANIFEST}, so it was not published by "
            "torchcrate: let a Maintainer delete it, or take the next version number"
        )
    own = Upload.of_bytes(MANIFEST, ours.dump())
    for sha256, copy in manifests.items():
        data = ours.dump() if sha256 == own.sha256 else _manifest(registry, ours, copy, copies)
        manifest = _sound(data, ours)
        if manifest is not None:
            made = {MANIFEST: data, SUMS: manifest.sums(data)}
            return Standing(manifest, {n: Upload.of_bytes(n, d) for n, d in made.items()}, copies)
    raise DamagedError(f"{what} in {registry.where} has no sound {MANIFEST}")


def replacements(
    stands: Standing, hidden: Mapping[str, str], mine: Collection[Upload], registry: Registry
) -> Iterator[Upload]:
    """Give the bytes that readers should get in place of what hides them.

    They are `mine`, or those of an older copy; each is to be used before the next is asked for.

    Raises:
        RegistryError: If the bytes are nowhere to be had.
    """
    manifest = stands.manifest
    have = {(upload.name, upload.sha256): upload for upload in (*mine, *stands.made.values())}
    for name, sha256 in hidden.items():
        if (name, sha256) in have:
            yield have[name, sha256]
            continue
        copies = [copy for copy in stands.copies if (copy.file, copy.sha256) == (name, sha256)]
        if not copies:
            raise RegistryError(
                f"{registry.where} holds no {name} as the {MANIFEST} of {manifest.name} "
                f"{manifest.version} states it: publish the crate that this one is of again, or "
                "take the next version number"
            )
        with closing(Spool(name, TemporaryFile())) as spool:
            try:
                registry.fetch_copy(manifest.name, manifest.version, copies[-1], spool)
            except NotFoundError as error:
                raise RegistryError(
                    f"{registry.where} cannot give out the {name} that a later upload hides: "
                    f"publish the crate that {manifest.name} {manifest.version} is of again"
                ) from error
            upload = spool.upload()
            if upload.sha256 != sha256:
                raise RegistryError(f"{registry.where} sent a damaged {name}: publish again")
            yield upload


def _manifest(registry: Registry, ours: Manifest, copy: Copy, copies: tuple[Copy, ...]) -> bytes:
    """Return a stored manifest.

    Where the server gives out the newest copies only, an older manifest is taken for a damaged
    one unless the sums say that two publishers were here.
    """
    newest = {each.file: each.sha256 for each in copies}  # the last of a name wins
    if copy.sha256 == newest[MANIFEST]:
        return receive_small(registry, ours.name, ours.version, MANIFEST)
    with closing(Spool(MANIFEST, TemporaryFile())) as spool:
        try:
            registry.fetch_copy(ours.name, ours.version, copy, spool)
        except NotFoundError as error:
            if all(each.sha256 == newest[SUMS] for each in copies if each.file == SUMS):
                return b""
            raise RegistryError(
                f"another publisher released {ours.name} {ours.version} first, and "
                f"{registry.where} cannot give out its {MANIFEST}: publish that crate again"
            ) from error
        with spool.upload().open() as file:
            return file.read()


def _sound(data: bytes, ours: Manifest) -> Manifest | None:
    try:
        manifest = Manifest.parse(data)
    except CrateError:
        return None
    return manifest if (manifest.name, manifest.version) == (ours.name, ours.version) else None

"""A sealed crate becomes a version in a registry: whole, once, and never changed after."""

import contextlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

from torchcrate.errors import Interrupted, RegistryError, TrustError
from torchcrate.release.compatibility import require_major_step
from torchcrate.release.crate import open_sealed
from torchcrate.release.leftover import adopt
from torchcrate.release.manifest import MANIFEST, SIGNATURE, SUMS, YANKED, Manifest, differing
from torchcrate.release.receive import DamagedError, receive_small
from torchcrate.release.registry import (
    Draft,
    DuplicateError,
    NotFoundError,
    Notice,
    Progress,
    Registry,
    TakenError,
    Upload,
    silent,
)
from torchcrate.release.settle import Standing, replacements, standing
from torchcrate.release.trust.signature import Signer
from torchcrate.release.yank import refuse_yanked

_ROUNDS = 8  # another publisher's last uploads arrive within seconds of its release
_PAUSE = 0.1  # seconds, doubled from round to round


@dataclass(frozen=True)
class Published:
    """A version that readers see.

    Attributes:
        name: Package name.
        version: SemVer.
        where: The registry's address.
        uploaded: The files that this run sent, in the order they were sent.
            In a rehearsal: that it would send.
        kept: The files that an earlier, unfinished run had sent already.
        already_there: Whether another run published it, with the same content.
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
    *,
    signer: Signer | None = None,
    on_total: Callable[[int], None] = silent,
) -> Published:
    """Publish the sealed crate at `crate`; the same content again is a success.

    Content goes first, then evidence, the sums and the signature; the manifest, last,
    makes the version visible. Then every hash is read again, see `settle`.

    Args:
        crate: A sealed crate.
        registry: Where to; one that rehearses is sent nothing.
        on_progress: Called while files are sent.
        on_notice: Called with one line if the contract could not be compared.
        signer: Signs the manifest; None publishes unsigned.
        on_total: Called with the bytes of all files to send before the first one goes.

    Raises:
        ContractError: If the crate is not sealed, or changed since, or its contract
            changed and its major number did not.
        ParityError: If it is not green.
        RegistryError: If the version is published with other content or yanked, or the
            registry refused, lost or altered a file. No reader sees a part.
        TrustError: If it is published already, and not signed with the key of `signer`.
        Interrupted: If Ctrl-C ends it; says what stands.
    """
    told = _Told(on_progress, on_total, on_notice)
    publisher = _Publisher(crate, open_sealed(crate), registry, signer, told)
    try:
        return publisher.publish()
    except KeyboardInterrupt as stop:
        raise Interrupted(publisher.stands()) from stop


@dataclass(frozen=True)
class _Told:
    """Who is told while it goes on; see `publish`."""

    on_progress: Progress
    on_total: Callable[[int], None]
    on_notice: Notice


class _Publisher:
    """One run: what it has, and what it has sent so far."""

    def __init__(
        self,
        crate: Path,
        manifest: Manifest,
        registry: Registry,
        signer: Signer | None,
        told: _Told,
    ) -> None:
        self._ours = manifest
        self._crate = crate
        self._registry = registry
        self._signer = signer
        self._told = told
        self._what = f"{manifest.name} {manifest.version}"
        self._files = {f.name: Upload.of_file(crate / f.name, f) for f in manifest.files}
        self._sent: list[Upload] = []
        self._kept: tuple[str, ...] = ()
        self._seen = False

    def publish(self) -> Published:
        """Bring the version to where it stands whole, whoever releases it."""
        for round_ in range(_ROUNDS):
            damaged, stands = False, None
            try:
                stands = standing(self._registry, self._ours)
            except DamagedError:
                damaged = True  # the last request of an earlier run arrived damaged
            self._seen = damaged or stands is not None
            if stands is None and not round_:
                require_major_step(self._ours, self._registry, self._told.on_notice)
            if stands and self._settled(stands):
                return self._published(stands)
            if stands is None:
                self._fill(mend=damaged, patient=round_ < _ROUNDS - 1)
            if self._registry.rehearses:
                return self._published(stands)
            time.sleep(_PAUSE * 2**round_ if round_ else 0)
        raise RegistryError(
            f"{self._what} in {self._registry.where} changes while it is published: wait for its "
            "other publishers, then publish again"
        )

    def stands(self) -> str:
        """Return what an interrupted run leaves, in words for people."""
        names = [upload.name for upload in self._sent]
        if self._seen:
            return f"readers may see {self._what} already: publish again to finish and to check it"
        if not names:
            return f"nothing of {self._what} was sent"
        return (
            f"{len(names)} files of {self._what} were sent to {self._registry.where}, and no "
            "reader sees them: publish again to send the rest"
        )

    def _draft(self, *, mend: bool) -> AbstractContextManager[Draft]:
        name, version = self._ours.name, self._ours.version
        return self._registry.draft(name, version, self._told.on_progress, mend=mend)

    def _fill(self, *, mend: bool, patient: bool) -> None:
        """Send what the draft does not hold yet, and release it, if nobody else was faster."""
        try:
            with self._draft(mend=mend) as draft:
                names = (*self._files, SUMS, SIGNATURE, MANIFEST)
                held = {name: draft.held(name) for name in names}
                if mend:
                    self._refuse_other_content(held)
                manifest = adopt(self._ours, self._crate, held, self._registry)
                uploads = [*self._uploads(manifest), *self._signature(manifest, held)]
                self._kept = tuple(each.name for each in uploads if held[each.name] == each.sha256)
                last = Upload.of_bytes(MANIFEST, manifest.dump())
                missing = [each for each in uploads if each.name not in self._kept]
                self._told.on_total(sum(each.size for each in (*missing, last)))
                for upload in missing:
                    self._add(draft, upload)
                self._seen = True  # perhaps, from now on
                draft.release(last)
                self._sent.append(last)
        except TakenError:
            return  # the next round looks at what stands
        except DuplicateError as error:
            content = {file.name for file in self._ours.files if file.kind == "content"}
            # With the same content, another publisher may be about to release its evidence.
            if error.file in content or not patient:
                raise

    def _add(self, draft: Draft, upload: Upload) -> None:
        self._sent.append(upload)  # before, for it may stand even if this run is told otherwise
        try:
            draft.add(upload)
        except DuplicateError:
            self._sent.pop()
            raise

    def _settled(self, stands: Standing) -> bool:
        """Return whether readers get every file as stated; cover what they do not get.

        Raises:
            RegistryError: If it is yanked, or its content is another than ours and nothing
                of ours hides it.
            TrustError: If its content is ours, and its signature is not.
        """
        if not self._sent and any(copy.file == YANKED for copy in stands.copies):
            refuse_yanked(self._registry, self._ours.name, self._ours.version)
        other = stands.manifest.content != self._ours.content
        hidden = stands.hidden(self._sent)
        if other and not (hidden and self._sent):
            raise RegistryError(
                f"{self._what} is already published in {self._registry.where} with other content, "
                f"{', '.join(differing(self._ours, stands.manifest))}: a published version is "
                "never changed, take the next version number"
            )
        if not other:
            self._require_signature(stands)
        if hidden:
            with self._draft(mend=True) as draft:
                for upload in replacements(stands, hidden, self._files.values(), self._registry):
                    self._add(draft, upload)
        return not hidden

    def _published(self, stands: Standing | None) -> Published:
        sent = {upload.sha256 for upload in self._sent if upload.name == MANIFEST}
        return Published(
            self._ours.name,
            self._ours.version,
            self._registry.where,
            uploaded=tuple(upload.name for upload in self._sent),
            kept=self._kept,
            already_there=stands is not None and stands.made[MANIFEST].sha256 not in sent,
        )

    def _refuse_other_content(self, held: Mapping[str, str | None]) -> None:
        """Mend nothing but our own content."""
        other = [
            file.name
            for file in self._ours.files
            if file.kind == "content" and held[file.name] not in (None, file.sha256)
        ]
        if other:
            raise RegistryError(
                f"{self._what} is already published in {self._registry.where} with a damaged "
                f"{MANIFEST} and other content, {', '.join(other)}: take the next version number"
            )

    def _uploads(self, manifest: Manifest) -> list[Upload]:
        """Return all files but the manifest, in the order in which they are sent.

        It is the same for all publishers: where a registry refuses a second file of one
        name, whoever comes second to the first file that differs stops there.
        """
        # Parity last: whoever finds it finds all the evidence that it judged.
        ordered = sorted(manifest.files, key=lambda f: (f.kind != "content", f.role == "parity"))
        files = [replace(self._files[f.name], size=f.size, sha256=f.sha256) for f in ordered]
        return [*files, Upload.of_bytes(SUMS, manifest.sums())]

    def _signature(self, manifest: Manifest, held: Mapping[str, str | None]) -> list[Upload]:
        """Return the signature to send; the one that an earlier run left, if it is as good."""
        left = b""
        if held[SIGNATURE] is not None:
            left = receive_small(self._registry, manifest.name, manifest.version, SIGNATURE)
        if self._signer is None:
            if left:
                raise TrustError(
                    f"{self._registry.where} holds a {SIGNATURE} of {self._what}, which an earlier "
                    "run left: publish with its key, or take the next version number"
                )
            return []
        if not (left and self._signer.signed(manifest.dump(), left)):
            left = self._signer.sign(manifest.dump())
        return [Upload.of_bytes(SIGNATURE, left)]

    def _require_signature(self, stands: Standing) -> None:
        """Refuse to report a version as published that `signer` did not sign."""
        if self._signer is None:
            return
        with stands.made[MANIFEST].open() as file:
            manifest = file.read()
        signatures = []
        for upload in self._sent:  # what hides ours is covered by it later
            if upload.name == SIGNATURE:
                with upload.open() as file:
                    signatures.append(file.read())
        if not signatures:
            with contextlib.suppress(NotFoundError):
                name, version = self._ours.name, self._ours.version
                signatures.append(receive_small(self._registry, name, version, SIGNATURE))
        if any(self._signer.signed(manifest, signature) for signature in signatures):
            return
        raise TrustError(
            f"{self._what} is already published in {self._registry.where}, not signed with "
            f"{self._signer.key.name}: a published version is never changed, take the next number"
        )

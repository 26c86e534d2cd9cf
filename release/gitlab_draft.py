"""A version on its way into a GitLab project.

GitLab keeps a status for the whole package. Files of a package that is `hidden` can be
read by whoever knows their names, but the version is not listed; the manifest comes last
with `status=default`, which stores it and lists the version in one transaction.
"""

from collections.abc import Iterator
from typing import Any, BinaryIO

from torchcrate.errors import RegistryError
from torchcrate.release.gitlab_api import Packages
from torchcrate.release.manifest import LARGEST, MANIFEST, YANKED
from torchcrate.release.receive import Buffer
from torchcrate.release.registry import DuplicateError, Progress, TakenError, Upload
from torchcrate.release.retry import PassingError
from torchcrate.release.transport import RefusedError, Transport

_PIECE = 1 << 20


class GitLabDraft:
    """The hidden package of one version; see `Draft` for what each method promises.

    The first upload of a version makes its package, as a hidden one. Every later one
    leaves the word out, and with it the package's status as it is: `hidden` would
    un-list a version that another publisher released meanwhile.
    """

    def __init__(
        self,
        packages: Packages,
        transport: Transport,
        name: str,
        version: str,
        on_progress: Progress,
        mend: bool,
    ) -> None:
        self._packages = packages
        self._transport = transport
        self._name = name
        self._version = version
        self._on_progress = on_progress
        self._listed = mend
        self._stands: bool | None = mend or None

    def held(self, file: str) -> str | None:
        """Return the sha256 of what an earlier run left under this name, or None."""
        if self._stands is None:
            self._stands = self._transport.persist(
                lambda _: self._packages.has_hidden(self._name, self._version)
            )
        # One question instead of one a file; but a deploy token cannot put it.
        if self._stands is False:
            return None
        found = self._look(file)
        self._stands = self._stands or found is not None or None
        return found

    def add(self, upload: Upload) -> None:
        """Store a file; the version stays as hidden or as listed as it is."""
        first = not self._stands
        if first and self._lists():  # asked as late as can be: this upload would un-list it
            raise self._taken()
        self._put(upload, "hidden" if first else "")
        self._stands = True
        if first:
            self._unhide()

    def release(self, manifest: Upload) -> None:
        """Store the manifest and list the version, in one transaction of the server's."""
        if not self._listed and self._lists():
            raise self._taken()
        self._put(manifest, "default")

    def _unhide(self) -> None:
        """List the version again, should this run's first upload have met a released one."""
        if self._look(MANIFEST) is None:
            return
        data = self._transport.persist(lambda _: self._manifest())
        self._put(Upload.of_bytes(MANIFEST, data), "default")
        raise self._taken()

    def _manifest(self) -> bytes:
        """Return the manifest that is served."""
        data = Buffer(MANIFEST, LARGEST)
        url = self._packages.url(self._name, self._version, MANIFEST)
        with self._transport.stream(url, 0) as (_, pieces):
            for piece in pieces:
                data.write(piece)
        return bytes(data.data)

    def _taken(self) -> TakenError:
        return TakenError(f"another publisher released {self._name} {self._version} meanwhile")

    def _look(self, file: str) -> str | None:
        return self._transport.persist(
            lambda _: self._packages.look(self._name, self._version, file)
        )

    def _lists(self) -> bool:
        return self._transport.persist(lambda _: self._packages.lists(self._name, self._version))

    def _parameters(self, status: str) -> dict[str, str]:
        return {**({"status": status} if status else {}), "select": "package_file"}

    def _put(self, upload: Upload, status: str) -> None:
        """Send a file until the server holds its very bytes, or says no."""
        url = self._packages.url(self._name, self._version, upload.name)
        forgiven = False

        def attempt(again: bool) -> None:
            nonlocal forgiven, status
            if again:
                # An answer was lost: what was sent may stand, and a second copy helps nobody.
                if self._arrived(upload, status):
                    return
                if status == "hidden" and self._packages.stands(self._name, self._version):
                    status = ""  # somebody made the package meanwhile, perhaps this very run
            try:
                stored = self._send(url, upload, status)
            except RefusedError as error:
                # What was sent in vain may have come through after all, late.
                if error.status == 400 and self._arrived(upload, status):
                    return
                # A failing object storage is reported as 403, which looks like a missing right.
                if error.status == 403 and not forgiven:
                    forgiven = True
                    raise PassingError(str(error)) from error
                raise self._explained(error, upload) from error
            if stored != upload.sha256:
                raise PassingError(f"{url} holds other bytes than were sent, sha256 {stored}")

        self._transport.persist(attempt)

    def _send(self, url: str, upload: Upload, status: str) -> str | None:
        """PUT a file, once; return the sha256 that the server computed over what it stored."""
        with upload.open() as file:
            answer = self._transport.ask(
                "PUT",
                url,
                params=self._parameters(status),
                body=self._pieces(upload, file),
                size=upload.size,
            )
        try:
            row = answer.json(url)
        except PassingError:
            row = None
        stated = row.get("file_sha256") if isinstance(row, dict) else None
        if isinstance(stated, str):
            return stated.lower()
        return self._packages.look(self._name, self._version, upload.name)

    def _pieces(self, upload: Upload, file: BinaryIO) -> Iterator[bytes]:
        done = 0
        self._on_progress(upload.name, done, upload.size)
        while piece := file.read(_PIECE):
            done += len(piece)
            if done > upload.size:
                break
            yield piece
            self._on_progress(upload.name, done, upload.size)
        if done != upload.size:
            raise RegistryError(f"{upload.name} changed while it was published: verify it again")

    def _arrived(self, upload: Upload, status: str) -> bool:
        """Return whether an earlier try was carried out after all."""
        if self._packages.look(self._name, self._version, upload.name) != upload.sha256:
            return False
        return status != "default" or self._packages.lists(self._name, self._version)

    def _explained(self, error: RefusedError, upload: Upload) -> RegistryError:
        """Return the server's refusal with what to do about it."""
        package = f"{self._name} {self._version}"
        if "duplicate" in str(error).lower():
            # GitLab deletes what it lists; of what is hidden it gives out no id that works.
            remedy = "let a Maintainer delete that file"
            if not self._listed:
                remedy = "publish the crate that an earlier run began with, say by its job's retry"
            return DuplicateError(
                f"{error}; it holds another {upload.name} of {package} and refuses duplicates: "
                f"{remedy}, or take the next version number",
                upload.name,
            )
        hints = {
            400: "check the name and the version",
            401: self._packages.unknown_hint,
            403: "the token needs the role Developer and the scope api, a deploy token the scope "
            "write_package_registry",
            413: f"{upload.name} is larger than a proxy before GitLab lets pass",
        }
        hint = hints.get(error.status)
        said = str(error).lower()
        if "too large" in said:
            hint = f"{upload.name} is larger than the project's limit"
        if "protected" in said:
            hint = "the project protects this package: a role that its rule names may publish it"
        return RegistryError(f"{error}; {hint}" if hint else str(error))


class RehearsedDraft(GitLabDraft):
    """A draft that shows what it would ask from its first upload on, and asks nothing."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._names: list[str] = []  # what a token that may not list looks for, one by one

    def add(self, upload: Upload) -> None:
        """Show the upload, and before and after the first the looks for another publisher."""
        first = not self._stands
        if first:
            self._packages.announce_listing(self._name, self._version)
        self._show(upload, "hidden" if first else "")
        self._stands = True
        if first:
            url = self._packages.url(self._name, self._version, MANIFEST)
            self._transport.announce("HEAD", url)

    def held(self, file: str) -> str | None:
        """Return what a draft that is no rehearsal holds, and keep the name."""
        self._names.append(file)
        return super().held(file)

    def release(self, manifest: Upload) -> None:
        """Show the last look, the manifest's upload and the reading of every hash."""
        if not self._listed:
            self._packages.announce_listing(self._name, self._version)
        self._show(manifest, "default")
        self._packages.announce_copies(self._name, self._version, [*self._names, YANKED])

    def _show(self, upload: Upload, status: str) -> None:
        url = self._packages.url(self._name, self._version, upload.name)
        self._transport.announce("PUT", url, self._parameters(status), upload.size)

"""Signatures over the bytes of a manifest: an EC key, the model-signing library, no network.

A signature is a Sigstore bundle. The library's own command reads it too:
`model_signing verify key manifest.json --signature manifest.sig --public_key KEY`.
It binds bytes, not a file name: what those bytes are called is for the caller to check.
"""

import base64
import binascii
import contextlib
import hashlib
import io
import json
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchcrate.errors import TrustError, UsageError
from torchcrate.files import reading, writing
from torchcrate.release.manifest import MANIFEST, SIGNATURE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

_CURVES = ("secp256r1", "secp384r1", "secp521r1")  # those that Sigstore specifies
_MAKE = "make one with 'openssl ecparam -name prime256v1 -genkey -noout -out FILE'"
_LARGEST_KEY = 64 * 2**10  # bytes; a P-521 key with a password needs less than one thousand


@dataclass(frozen=True)
class Signer:
    """A private key that was read once and found good; neither it nor its password is shown.

    Attributes:
        key: The file that holds it.
        password: Opens it, None where none is needed.
        public: The public key that belongs to it, as PEM.
    """

    key: Path
    password: bytes | None = field(repr=False)
    public: bytes

    @classmethod
    def from_file(cls, key: Path, password: str | None = None) -> "Signer":
        """Take the EC private key in the PEM file `key`.

        Raises:
            UsageError: If it holds no EC key of a supported curve, or `password` does not open it.
            FolderError: If it cannot be read.
            TrustError: If the signing library is not installed.
        """
        _require_library()
        secret = password.encode() if password else None
        return cls(key, secret, _pem(_private_key(key, secret).public_key()))

    def sign(self, manifest: bytes) -> bytes:
        """Return a signature over these bytes; each call gives another one, all good.

        Raises:
            FolderError: If there is no room for temporary files.
        """
        from model_signing.signing import Config

        # The library passes the password on as it is, and the one below it takes bytes alone.
        password: Any = self.password
        with _on_disk({MANIFEST: manifest}) as folder, _quiet():
            signer = Config().use_elliptic_key_signer(private_key=self.key, password=password)
            signer.sign(folder / MANIFEST, folder / SIGNATURE)
            return (folder / SIGNATURE).read_bytes()

    def signed(self, manifest: bytes, signature: bytes) -> bool:
        """Return whether `signature` is one of this key over these bytes."""
        return _holds(manifest, signature, self.public)


def verify(manifest: bytes, signature: bytes, key: Path) -> None:
    """Return if `signature` was made over these bytes with the private half of `key`.

    Args:
        manifest: The bytes of manifest.json, not yet parsed.
        signature: The bytes of manifest.sig.
        key: A PEM file with an EC public key.

    Raises:
        TrustError: If it was not, or the signing library is not installed.
        UsageError: If the key file holds no EC public key of a supported curve.
        FolderError: If it cannot be read.
    """
    _require_library()
    public = _pem(_public_key(key))
    if not _holds(manifest, signature, public):
        raise TrustError(_why(signature, public, key))


def check_key(key: Path) -> None:
    """Refuse a key file that cannot verify anything, before anything is asked for.

    Raises:
        As `verify`.
    """
    _require_library()
    _public_key(key)


def _holds(manifest: bytes, signature: bytes, public: bytes) -> bool:
    """Return whether the library accepts `signature` over these bytes from this PEM key."""
    from model_signing import hashing
    from model_signing.verifying import Config

    files = {MANIFEST: manifest, SIGNATURE: signature, "key.pem": public}
    with _on_disk(files) as folder, _quiet():
        # How to hash is said here: else the signature would say how it wants to be checked.
        verifier = Config().set_hashing_config(hashing.Config())
        verifier = verifier.use_elliptic_key_verifier(public_key=folder / "key.pem")
        try:
            verifier.verify(folder / MANIFEST, folder / SIGNATURE)
        except Exception:  # a hostile signature raises whatever its bytes lead to
            return False
    return True


def _why(signature: bytes, public: bytes, key: Path) -> str:
    """Return why a signature that was refused is none, as far as it can be told."""
    try:
        bundle = json.loads(signature)
        hint = bundle["verificationMaterial"]["publicKey"]["hint"]
        base64.b64decode(bundle["dsseEnvelope"]["payload"])
    except (ValueError, LookupError, TypeError, RecursionError, binascii.Error):
        return f"{SIGNATURE} is not a signature: let its publisher sign again"
    if hint != hashlib.sha256(public).hexdigest():
        return f"{SIGNATURE} was made with another key than {key}: do not use what it signs"
    return f"{MANIFEST} or {SIGNATURE} was altered after signing: do not use it"


def _private_key(path: Path, password: bytes | None) -> "EllipticCurvePrivateKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = _read(path)
    try:
        key = load_pem_private_key(data, password)
    except TypeError as error:  # with a password for a plain key, or without one
        needs = "needs no password: unset" if password else "is encrypted: set"
        raise UsageError(f"{path} {needs} its password in the environment") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        if password and b"ENCRYPTED" in data:
            raise UsageError(f"{path} does not open with this password: check it") from error
        what = "holds a public key, signing needs the private one"
        what = what if b"PUBLIC KEY" in data else "is not a private key in PEM form"
        raise UsageError(f"{path} {what}: {_MAKE}") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise UsageError(f"{path} holds another kind of key than EC: {_MAKE}")
    _check_curve(path, key.curve.name)
    return key


def _public_key(path: Path) -> "EllipticCurvePublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _read(path)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        what = "holds a private key: the public one, which may be shown, comes from"
        what = what if b"PRIVATE KEY" in data else "is not a public key in PEM form: make one with"
        raise UsageError(f"{path} {what} 'openssl pkey -in KEY -pubout -out FILE'") from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise UsageError(f"{path} holds another kind of key than EC, which signs no crate")
    _check_curve(path, key.curve.name)
    return key


def _read(path: Path) -> bytes:
    with reading(path), path.open("rb") as file:
        return file.read(_LARGEST_KEY)


def _check_curve(path: Path, curve: str) -> None:
    if curve not in _CURVES:
        raise UsageError(f"{path} holds a key of curve {curve}, not {', '.join(_CURVES)}: {_MAKE}")


def _pem(key: "EllipticCurvePublicKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _require_library() -> None:
    try:
        with _quiet():
            import model_signing.signing
            import model_signing.verifying  # noqa: F401  both are used once they are known to be there
    except ImportError as error:
        raise TrustError(
            f"signatures need a package that is missing, {error.name or 'model_signing'}: "
            "pip install 'torchcrate[sign]'"
        ) from error


@contextlib.contextmanager
def _on_disk(files: dict[str, bytes]) -> Iterator[Path]:
    """Give a private folder that holds these files, for a library that reads from paths."""
    with tempfile.TemporaryDirectory(prefix="torchcrate-") as scratch:
        folder = Path(scratch)
        for name, data in files.items():
            with writing(folder / name):
                (folder / name).write_bytes(data)
        yield folder


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library's own remarks off the terminal; what counts is its verdict."""
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield

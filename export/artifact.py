"""One file of a crate: what it is for and what its bytes are."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torchcrate.files import reading

Kind = Literal["content", "evidence"]
Role = Literal[
    "state_dict",
    "torchscript",
    "onnx",
    "variant",
    "weights",
    "runner",
    "module",
    "source",
    "requirements",
    "instruction",
    "licence",
    "golden",
    "parity",
    "provenance",
    "findings",
    "bench",
    "figures",
]

PYTHON = ("onnx", "torchscript", "eager")  # the formats whose runners share one command line

# A variant is, too: made by measuring, and there if it was faster where it was made.
_EVIDENCE: frozenset[Role] = frozenset(
    {"golden", "parity", "provenance", "findings", "bench", "figures", "variant"}
)


@dataclass(frozen=True)
class Artifact:
    """A file as it stands on disk; two with one sha256 are the same bytes.

    Attributes:
        name: Flat file name, the same in the crate and in the registry.
        role: What it is for; a "runner" is started, a "module" is what runners import,
            "weights" are what lies beside an ONNX graph, a "variant" is one of it that
            computes with fewer bits, "figures" are what was found of variants.
        kind: "content" has the same bytes wherever it is built and makes up the
            version's digest; "evidence" may differ: in last digits between processors,
            or because it says where the crate was made.
        size: Bytes.
        sha256: Lower-case hexadecimal digest.
        formats: Which formats need it, say "onnx" or "cpp"; empty if all do.
    """

    name: str
    role: Role
    kind: Kind
    size: int
    sha256: str
    formats: tuple[str, ...] = ()

    @classmethod
    def of(cls, path: Path, role: Role, formats: tuple[str, ...] = ()) -> "Artifact":
        """Measure the file at `path`, which `formats` need.

        Raises:
            FolderError: If it cannot be read.
        """
        kind: Kind = "evidence" if role in _EVIDENCE else "content"
        with reading(path):
            size = path.stat().st_size
        return cls(path.name, role, kind, size, sha256_of(path), formats)


def sha256_of(path: Path) -> str:
    """Return the lower-case hexadecimal sha256 of the file at `path`, read in pieces.

    Raises:
        FolderError: If it cannot be read.
    """
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

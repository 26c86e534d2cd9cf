"""The manifest: the typed value that says everything a consumer may rely on."""

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec
import semver

from torchcrate.errors import ContractError, UsageError
from torchcrate.export.artifact import Artifact
from torchcrate.model.contract import Contract
from torchcrate.values import decode, encode
from torchcrate.verify.report import Parity

MANIFEST = "manifest.json"
SUMS = "SHA256SUMS"
PARITY = "parity.json"
SIGNATURE = "manifest.sig"  # over the manifest's bytes; neither it nor the sums list it
YANKED = "yanked.json"  # the one file that may be added to a published version
_LARGEST_FILE = 2**50  # bytes of one file; no registry takes as much
LARGEST = 16 * 2**20  # bytes of a manifest or a report; a thousand files need a fifth of one
SCHEMA = "1.0"

_RESERVED = frozenset({MANIFEST, SUMS, SIGNATURE, YANKED})
_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,255}")  # GitLab's rule, less `+` and what climbs: `..`
# GitLab's rule for files; flat, not hidden, and as long as a file system takes.
_FILE = re.compile(r"(?![~@.])[A-Za-z0-9._+~@-]{1,255}(?<![~@])")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Manifest:
    """Everything a consumer may rely on; `Manifest.parse(m.dump()) == m` holds.

    Attributes:
        name: Package name, one word of letters, digits, `.`, `_`, `-`.
        version: SemVer without build metadata, as GitLab stores it.
        contract: Inputs, outputs and labels.
        metrics: What training reported, say {"accuracy": 0.993}; fractions, not percent. Names
            that begin with "latency" are of warm calls, in units of the reference kernel.
        tools: What made the models: torch, onnx, opset, ir.
        minimum: The oldest runtimes that can load them, by name: libtorch, onnxruntime.
        commit: git commit of the sources; empty outside a checkout.
        content: The digest that decides whether two builds are the same version.
        files: Every file but the manifest, its signature and the sums, sorted by name.
        parity: One entry a runtime; empty until the crate was verified.
        schema: Version of this format; another major number is another format.
    """

    name: str
    version: str
    contract: Contract
    metrics: dict[str, float]
    tools: dict[str, str]
    minimum: dict[str, str]
    commit: str
    content: str
    files: tuple[Artifact, ...]
    parity: tuple[Parity, ...] = ()
    schema: str = SCHEMA

    def dump(self) -> bytes:
        """Return the manifest as JSON, indented for people, ending in a newline."""
        return encode(self)

    @classmethod
    def parse(cls, data: bytes) -> "Manifest":
        """Read what `dump` wrote, and hold it to its own rules.

        Raises:
            ContractError: If it is not a manifest, is of a newer major schema, or
                contradicts itself: bad or double file names, a digest that is not
                the one of its files.
        """
        schema = decode(data, _Versioned, f"{MANIFEST} is not a manifest").schema
        if schema.split(".")[0] != SCHEMA.split(".")[0]:
            older = schema.split(".")[0] < SCHEMA.split(".")[0]
            raise ContractError(
                f"{MANIFEST} has schema {schema[:20]!r}, this torchcrate reads {SCHEMA}: "
                + ("take an older torchcrate" if older else "upgrade torchcrate to read it")
            )
        manifest = decode(data, cls, f"{MANIFEST} is not a manifest")
        manifest._check()
        return manifest

    def sums(self, stored: bytes = b"") -> bytes:
        """Return the text of SHA256SUMS, as `sha256sum -c` reads it.

        It lists every file of `files` and the manifest itself.

        Args:
            stored: The manifest's own bytes where it was read from somewhere; else `dump()`.
        """
        rows = [(file.sha256, file.name) for file in self.files]
        rows.append((hashlib.sha256(stored or self.dump()).hexdigest(), MANIFEST))
        return "".join(f"{sha256}  {name}\n" for sha256, name in rows).encode()

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that this crate has, in the order in which its files name them."""
        return tuple(dict.fromkeys(format for file in self.files for format in file.formats))

    def only(self, formats: Collection[str]) -> tuple[Artifact, ...]:
        """Return the files that at least one of `formats` needs; all files if none is named.

        Raises:
            UsageError: If this crate has no such format.
        """
        unknown = sorted(set(formats) - set(self.formats))
        if unknown:
            has = ", ".join(self.formats) or "no formats of its files, pull it whole"
            raise UsageError(f"{self.name} {self.version} has no {unknown[0]}; it states {has}")
        wanted = set(formats)
        return tuple(
            file
            for file in self.files
            if not wanted or not file.formats or wanted & set(file.formats)
        )

    def _check(self) -> None:
        check_name(self.name)
        check_version(self.version)
        names = [file.name for file in self.files]
        for file in self.files:
            if not _FILE.fullmatch(file.name) or file.name in _RESERVED:
                raise ContractError(f"{MANIFEST} lists {file.name[:99]!r}, which no crate may hold")
            if not _SHA256.fullmatch(file.sha256) or not 0 <= file.size <= _LARGEST_FILE:
                raise ContractError(f"{MANIFEST} has no true size or sha256 for {file.name}")
        if names != sorted(set(names)):
            raise ContractError(f"{MANIFEST} lists a file twice, or not in order")
        if self.content != content_digest(self.files):
            raise ContractError(f"{MANIFEST} has a content digest that is not that of its files")


@dataclass(frozen=True)
class _Versioned:
    schema: str


def content_digest(files: Iterable[Artifact]) -> str:
    r"""Return the sha256 over `NAME\0SHA256\n` of each content file, sorted."""
    lines = sorted(f"{f.name}\0{f.sha256}\n" for f in files if f.kind == "content")
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_latency(metric: str) -> bool:
    """Return whether a metric is of a benchmark, not of training."""
    return metric.startswith("latency")


def differing(one: Manifest, other: Manifest) -> list[str]:
    """Return the names of the content files that are not the same in both, sorted."""
    here, there = (
        {(file.name, file.sha256) for file in manifest.files if file.kind == "content"}
        for manifest in (one, other)
    )
    return sorted({name for name, _ in here ^ there})


def check_name(name: str) -> str:
    """Return `name` if the registry takes it as a package name.

    Raises:
        UsageError: If it does not.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name[:99]!r} is not a package name: use letters, digits, '.', '_' and '-'"
        )
    return name


def check_version(version: str) -> str:
    """Return `version` if it is a SemVer that GitLab stores and every tool reads alike.

    Raises:
        UsageError: If it is not, or has build metadata (`+`, which release links refuse).
    """
    if len(version) > 255 or not semver.Version.is_valid(version) or "+" in version:
        raise UsageError(
            f"{version[:99]!r} is not a version: use MAJOR.MINOR.PATCH or MAJOR.MINOR.PATCH-pre.N"
        )
    return version


def schema() -> dict[str, Any]:
    """Return the JSON Schema of manifest.json, as published in docs/manifest.schema.json."""
    return msgspec.json.schema(Manifest)

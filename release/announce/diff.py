"""Two versions compared by what they do: contract, figures, answers, files.

A version is what a registry holds under NAME@VERSION, or a crate in a folder, sealed or
not. Everything but the golden outputs comes from the manifests.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torchcrate.errors import ContractError
from torchcrate.export.artifact import Artifact, sha256_of
from torchcrate.files import reading
from torchcrate.release.announce.golden import Golden, compare
from torchcrate.release.compatibility import Change, changes
from torchcrate.release.crate import stated
from torchcrate.release.history import newest, parity_margin
from torchcrate.release.manifest import Manifest, is_latency
from torchcrate.release.receive import TooLargeError, receive_manifest, receive_small
from torchcrate.release.reference import names_one, split_reference
from torchcrate.release.registry import NotFoundError, Registry
from torchcrate.verify.report import Parity


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        manifest: What it states.
        golden: The bytes of its golden vectors; None if they cannot be had.
        problem: Why they cannot; empty if they can.
    """

    manifest: Manifest
    golden: bytes | None = None
    problem: str = ""

    @property
    def title(self) -> str:
        """Return its name and version."""
        return f"{self.manifest.name} {self.manifest.version}"


@dataclass(frozen=True)
class Figure:
    """One number of both; None where one of them does not state it."""

    what: str
    old: float | None
    new: float | None


@dataclass(frozen=True)
class Word:
    """One word of both, say the version of a tool; None where one does not state it."""

    what: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Difference:
    """How `new` differs from `old`.

    Attributes:
        old: Name and version of the one.
        new: Name and version of the other.
        same_content: Whether both are, by their manifests, the same build but for evidence.
        contract: Every change of the contract, breaks called breaks.
        metrics: What training reported, latency left out: accuracy, loss.
        latency: Metrics whose name begins with "latency", as they are stated.
        golden: How far the answers to the same inputs are apart.
        parity_margin: `limit / needed` where it is smallest; None if all were exact.
        parity: The largest difference to eager for each runtime and way of asking.
        tools: What made the models, where it differs.
        minimum: The oldest runtimes that can load them, where they differ.
        size: Bytes of all files.
        files: Bytes of each file that both do not hold with the same bytes.
        added: Content files that only `new` has.
        removed: Content files that only `old` has.
        changed: Content files with other bytes.
    """

    old: str
    new: str
    same_content: bool
    contract: tuple[Change, ...]
    metrics: tuple[Figure, ...]
    latency: tuple[Figure, ...]
    golden: Golden
    parity_margin: Figure
    parity: tuple[Figure, ...]
    tools: tuple[Word, ...]
    minimum: tuple[Word, ...]
    size: Figure
    files: tuple[Figure, ...]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def breaks(self) -> bool:
        """Whether a caller of `old` may fail with `new`."""
        return any(change.breaks for change in self.contract)


def names_folder(side: str) -> bool:
    """Return whether `side` is the path of a folder, and not `NAME@VERSION`.

    Raises:
        FolderError: If that cannot be told.
    """
    with reading(Path(side)):
        return Path(side).is_dir() or "@" not in side


def in_folder(crate: Path) -> Side:
    """Read the crate in a folder, sealed or as export left it.

    Raises:
        ContractError: If it is no crate, or its golden vectors are not those it states.
        FolderError: If it cannot be read.
    """
    manifest = stated(crate)
    vectors = _golden(manifest)
    if vectors is None:
        return Side(manifest, problem=f"{crate} has no golden vectors")
    with reading(crate / vectors.name):
        if sha256_of(crate / vectors.name) != vectors.sha256:
            raise ContractError(f"{crate / vectors.name} is not the one that {crate} states")
        return Side(manifest, (crate / vectors.name).read_bytes())


def in_registry(reference: str, registry: Registry) -> Side:
    """Read `NAME@VERSION`, published in a registry.

    Raises:
        NotFoundError: If there is no such version.
        RegistryError: If it cannot be had, or is not what its manifest states.
    """
    name, version = split_reference(reference)
    if not names_one(version):
        version = newest(registry, name, version)
    manifest, _, _ = receive_manifest(registry, name, version)
    return published(manifest, registry)


def published(manifest: Manifest, registry: Registry) -> Side:
    """Fetch the golden vectors of a published version; without them the rest is compared.

    Raises:
        RegistryError: If the registry cannot be asked.
    """
    what = f"{manifest.name} {manifest.version}"
    stated = _golden(manifest)
    if stated is None:
        return Side(manifest, problem=f"{what} has no golden vectors")
    try:
        data = receive_small(registry, manifest.name, manifest.version, stated.name)
    except (NotFoundError, TooLargeError) as error:
        return Side(manifest, problem=str(error))
    if hashlib.sha256(data).hexdigest() != stated.sha256:
        return Side(manifest, problem=f"{stated.name} of {what} is not the one that it states")
    return Side(manifest, data)


def difference(old: Side, new: Side) -> Difference:
    """Return everything that differs between two versions, of one crate or of two."""
    one, other = old.manifest, new.manifest
    here, there = _content(one), _content(other)
    figures = _figures(one.metrics, other.metrics)
    golden = Golden(problem=old.problem or new.problem)
    if old.golden is not None and new.golden is not None:
        golden = compare(old.golden, new.golden, one.contract, other.contract)
    return Difference(
        old=old.title,
        new=new.title,
        same_content=one.content == other.content,
        contract=changes(one.contract, other.contract),
        metrics=tuple(each for each in figures if not is_latency(each.what)),
        latency=tuple(each for each in figures if is_latency(each.what)),
        golden=golden,
        parity_margin=Figure("parity margin", parity_margin(one), parity_margin(other)),
        parity=_figures(_parity(one.parity), _parity(other.parity)),
        tools=_words(one.tools, other.tools),
        minimum=_words(one.minimum, other.minimum),
        size=Figure("size", _size(one.files), _size(other.files)),
        files=_sizes(one.files, other.files),
        added=tuple(sorted(there.keys() - here.keys())),
        removed=tuple(sorted(here.keys() - there.keys())),
        changed=tuple(
            sorted(name for name in here.keys() & there.keys() if here[name] != there[name])
        ),
    )


def _golden(manifest: Manifest) -> Artifact | None:
    return next((file for file in manifest.files if file.role == "golden"), None)


def _content(manifest: Manifest) -> dict[str, str]:
    return {file.name: file.sha256 for file in manifest.files if file.kind == "content"}


def _size(files: Iterable[Artifact]) -> int:
    return sum(file.size for file in files)


def _sizes(old: Iterable[Artifact], new: Iterable[Artifact]) -> tuple[Figure, ...]:
    """Return the sizes of the files that both do not hold with the same bytes."""
    here, there = ({file.name: file for file in files} for files in (old, new))
    sizes = _figures(
        {name: file.size for name, file in here.items()},
        {name: file.size for name, file in there.items()},
    )
    return tuple(each for each in sizes if here.get(each.what) != there.get(each.what))


def _figures(
    old: Mapping[str, float | None], new: Mapping[str, float | None]
) -> tuple[Figure, ...]:
    names = sorted(old.keys() | new.keys())
    return tuple(Figure(name, old.get(name), new.get(name)) for name in names)


def _parity(parity: Iterable[Parity]) -> dict[str, float | None]:
    return {f"{entry.runtime} {entry.way}": entry.maximum for entry in parity}


def _words(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[Word, ...]:
    names = sorted(old.keys() | new.keys())
    words = (Word(name, old.get(name), new.get(name)) for name in names)
    return tuple(word for word in words if word.old != word.new)

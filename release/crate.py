"""A crate on disk: assembled by export, sealed by verification, opened by publishing.

An assembled crate holds `draft.json`, a manifest without parity. Sealing replaces
it by `manifest.json` and, last of all, `SHA256SUMS`.
"""

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path

from torchcrate.errors import ContractError, CrateError, ParityError, UsageError
from torchcrate.export.artifact import PYTHON, Artifact, Role, sha256_of
from torchcrate.files import reading, write_whole, writing
from torchcrate.model.spec import ModelSpec
from torchcrate.release import instruction
from torchcrate.release.manifest import (
    LARGEST,
    MANIFEST,
    PARITY,
    SIGNATURE,
    SUMS,
    YANKED,
    Manifest,
    content_digest,
    is_latency,
)
from torchcrate.release.staging import exchange, flush_folder, staged
from torchcrate.release.trust import provenance
from torchcrate.release.trust.suspect import examine
from torchcrate.verify.report import Report

DRAFT = "draft.json"


@contextmanager
def assembling(out: Path) -> Iterator[Path]:
    """Give a hidden folder to write a crate into; it becomes `out`, whole, when the block ends.

    An earlier crate at `out` is replaced; if the block fails, it stays as it was.

    Raises:
        FolderError: If the folder cannot be made.
        ContractError: If `out` holds something that is not a crate.
    """
    with writing(out):
        target = out.resolve()
        foreign = _foreign(target) if target.is_dir() else []
        if foreign:
            raise ContractError(
                f"{out} holds {foreign[0]}, which is of no crate: name an empty folder"
            )
        with staged(target) as folder:
            yield folder
            flush_folder(folder)
            if target.exists():
                exchange(folder, target)
            else:
                folder.rename(target)
            flush_folder(target.parent)


def _foreign(folder: Path) -> list[str]:
    """Return the names in `folder` that are not those of the crate in it."""
    names = {path.name for path in folder.iterdir()} - {"__pycache__"}
    known = {DRAFT, MANIFEST, SUMS, PARITY, SIGNATURE, YANKED}
    for stated in (folder / DRAFT, folder / MANIFEST):
        if stated.is_file():
            try:
                names -= {file.name for file in read_manifest(stated).files} | known
            except CrateError:
                continue  # somebody else's file of that name
    return sorted(names)


def program_names(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of all files that come into a crate beside what a network brings.

    Raises:
        UsageError: If the spec's program has the name of another file.
    """
    names = [name for *_, name in _programs(spec)]
    if names.count(spec.program) > 1:
        raise UsageError(f"program of {spec.name} cannot be {spec.program}, a crate has one")
    return (*names, "LICENSE", instruction.NAME, provenance.NAME, DRAFT, MANIFEST, SUMS, PARITY)


def copy_programs(
    spec: ModelSpec,
    formats: Collection[str],
    out: Path,
    network: Mapping[str, Path],
    requirements: Collection[str] = (),
) -> tuple[Artifact, ...]:
    """Copy runners, network, C++ sources, requirements and licence into the crate at `out`.

    Args:
        spec: Names the front door.
        formats: Those that the crate has; a program for others is left out.
        out: The crate.
        network: The path of each file that builds the network, by its name in the crate.
        requirements: What these need installed.

    Raises:
        FolderError: If `out` cannot be written.
    """
    made = [_copied(path, out / name, "module", ("eager",)) for name, path in network.items()]
    for path, role, needed, name in _programs(spec):
        if kept := tuple(each for each in needed if each in formats):
            made.append(_copied(path, out / name, role, kept))
    listed = out / "requirements-eager.txt"
    if requirements and listed.exists():
        write_whole(listed, listed.read_bytes() + "".join(f"{r}\n" for r in requirements).encode())
        made = [file for file in made if file.name != listed.name]
        made.append(Artifact.of(listed, "requirements", ("eager",)))
    write_whole(out / "LICENSE", instruction.licence())
    return (*made, Artifact.of(out / "LICENSE", "licence"))


def _programs(spec: ModelSpec) -> Iterator[tuple[Path, Role, tuple[str, ...], str]]:
    """Yield path, role, formats and name in the crate of every file that ships with any network."""
    runners, cpp = resources.files("torchcrate.runners"), resources.files("torchcrate.cpp_demo")
    model = resources.files("torchcrate.model")
    with (
        resources.as_file(runners) as here,
        resources.as_file(cpp) as there,
        resources.as_file(model.joinpath("calling.py")) as calling,
    ):
        yield calling, "module", ("eager",), calling.name
        for path in sorted(here.iterdir()):
            stem, _, format = path.stem.partition("_" if path.suffix == ".py" else "-")
            formats = (format,) if format else PYTHON
            if path.suffix == ".txt":
                yield path, "requirements", formats, path.name
            elif path.suffix == ".py" and stem == "run":
                yield path, "runner", formats, path.name if format else spec.program
            elif path.suffix == ".py" and path.stem != "__init__":
                yield path, "module", PYTHON, path.name
        for path in sorted(there.iterdir()):
            if path.suffix in (".cpp", ".h") or path.name == "CMakeLists.txt":
                yield path, "source", ("cpp",), path.name


def _copied(path: Path, target: Path, role: Role, formats: tuple[str, ...]) -> Artifact:
    with writing(target):
        shutil.copy2(path, target)  # keeps the time, so C++ is not built again
    return Artifact.of(target, role, formats)


def write_draft(
    out: Path,
    draft: Manifest,
    spec: ModelSpec,
    origin: provenance.Origin,
    materials: provenance.Materials,
) -> Manifest:
    """Write instructions, provenance and draft: the crate is then whole but for the seal.

    Returns:
        The draft with both among its files and its content digest.

    Raises:
        FolderError: If `out` cannot be written.
    """
    write_whole(out / instruction.NAME, instruction.render(with_files(draft, draft.files), spec))
    said = Artifact.of(out / instruction.NAME, "instruction")
    whole = with_files(draft, [*draft.files, said])
    write_whole(out / provenance.NAME, provenance.statement(whole, origin, materials))
    whole = with_files(whole, [*whole.files, Artifact.of(out / provenance.NAME, "provenance")])
    write_whole(out / DRAFT, whole.dump())
    return whole


def stated(crate: Path) -> Manifest:
    """Return what a crate says of itself, sealed or not.

    Raises:
        ContractError: If `crate` is no crate.
        FolderError: If it cannot be read.
    """
    with reading(crate):
        return read_manifest(crate / (DRAFT if (crate / DRAFT).exists() else MANIFEST))


def unseal(crate: Path) -> Manifest:
    """Take the seal off, if there is one, and return what export said of the crate.

    Raises:
        ContractError: If `crate` is no crate.
        FolderError: If it cannot be written.
    """
    with reading(crate):
        manifest = stated(crate)
        if not (crate / DRAFT).exists():
            write_whole(crate / DRAFT, unjudged(manifest).dump())
        draft = read_manifest(crate / DRAFT)
    with writing(crate):
        figures = [file.name for file in manifest.files if file.role == "bench"]
        for name in (SUMS, MANIFEST, PARITY, *figures):
            (crate / name).unlink(missing_ok=True)
    return draft


def unjudged(manifest: Manifest) -> Manifest:
    """Return a manifest without what was found when the crate was judged and measured."""
    files = [file for file in manifest.files if file.role not in ("parity", "bench")]
    kept = {name: value for name, value in manifest.metrics.items() if not is_latency(name)}
    return with_files(replace(manifest, metrics=kept, parity=()), files)


def seal(crate: Path, report: Report) -> Manifest:
    """Write parity.json, and, if the report is green, manifest.json and SHA256SUMS last.

    Raises:
        ParityError: If the report is not green; parity.json says why.
        ContractError: If a file is not the one that was judged.
        TrustError: If a model is one that every pull would refuse.
    """
    draft = read_manifest(crate / DRAFT)
    write_whole(crate / PARITY, report.dump())
    if not report.passed:
        raise ParityError(f"{report.failures[0]}; {crate / PARITY} has every figure")
    with reading(crate):
        changed = [
            name for name, digest in report.judged.items() if sha256_of(crate / name) != digest
        ]
        if changed:
            raise ContractError(f"{crate / changed[0]} changed while it was judged: verify again")
        examine(crate, draft)  # what is published and then refused by every pull stays so for good
        files = [Artifact.of(crate / file.name, file.role, file.formats) for file in draft.files]
        files.append(Artifact.of(crate / PARITY, "parity"))
        manifest = with_files(replace(draft, parity=report.runtimes), files)
    write_whole(crate / MANIFEST, manifest.dump())
    write_whole(crate / SUMS, manifest.sums())
    with writing(crate):
        (crate / DRAFT).unlink()
    return manifest


def open_sealed(crate: Path) -> Manifest:
    """Return the manifest of a crate that is sealed, green and unchanged since.

    Raises:
        ContractError: If it is not sealed, or a file is missing, foreign or changed.
        ParityError: If its parity is not green.
    """
    with reading(crate):
        if not (crate / SUMS).is_file():
            raise ContractError(f"{crate} is not sealed: run 'torchcrate verify {crate}'")
        manifest = read_manifest(crate / MANIFEST)
        if (crate / SUMS).read_bytes() != manifest.sums():
            raise ContractError(f"{crate / SUMS} is not that of {MANIFEST}: verify the crate again")
        for file in manifest.files:
            path = crate / file.name
            if not path.is_file():
                raise ContractError(f"{path} is missing: export and verify the crate again")
            if path.stat().st_size != file.size or sha256_of(path) != file.sha256:
                raise ContractError(f"{path} changed since the crate was sealed: verify it again")
        _require_green(crate, manifest)
        return manifest


def _require_green(crate: Path, manifest: Manifest) -> None:
    report = Report.parse((crate / PARITY).read_bytes())
    judged = {file.name: file.sha256 for file in manifest.files}
    if report.judged.items() - judged.items():
        raise ParityError(f"{crate / PARITY} judged other files than these: verify the crate again")
    if not report.passed or report.runtimes != manifest.parity:
        raise ParityError(f"{crate / PARITY} is not green: such a crate cannot be published")


def read_manifest(path: Path) -> Manifest:
    """Return the manifest in a file of a crate, sealed or a draft.

    Raises:
        ContractError: If there is no such file, or it is no manifest.
        FolderError: If it cannot be read.
    """
    with reading(path):
        if not path.is_file():
            raise ContractError(f"{path.parent} is no crate: make one with 'torchcrate export'")
        if path.stat().st_size > LARGEST:
            raise ContractError(f"{path} is larger than {LARGEST} bytes, no manifest is")
        data = path.read_bytes()
    try:
        return Manifest.parse(data)
    except CrateError as error:
        raise ContractError(f"{path}: {error}") from error


def with_files(manifest: Manifest, files: Iterable[Artifact]) -> Manifest:
    """Return `manifest` with these files, sorted, and their content digest."""
    ordered = tuple(sorted(files, key=lambda file: file.name))
    return replace(manifest, files=ordered, content=content_digest(ordered))

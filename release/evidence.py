"""What is found of a sealed crate later comes into it as evidence, beside its content."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from torchcrate.export.artifact import Artifact
from torchcrate.files import write_whole, writing
from torchcrate.release.crate import open_sealed, unjudged, with_files
from torchcrate.release.manifest import MANIFEST, SUMS, Manifest


def enclose(crate: Path, figures: Collection[Path], latency: Mapping[str, float]) -> Manifest:
    """Put what a benchmark found into a sealed crate, as evidence: its content stays the same.

    Args:
        crate: Where figures of a benchmark before this one are replaced.
        figures: Files, which keep their names.
        latency: In units of the reference kernel, by a name that begins with "latency".

    Raises:
        ContractError: If the crate is not sealed, or changed since.
        FolderError: If it cannot be written.
    """
    before = open_sealed(crate)
    bare = unjudged(before)
    files = [file for file in before.files if file.role != "bench"]
    files += [Artifact.of(path, "bench") for path in figures]
    metrics = {**bare.metrics, **latency}
    manifest = with_files(replace(bare, metrics=metrics, parity=before.parity), files)
    with writing(crate):
        (crate / SUMS).unlink()  # no seal until all is there
        # What is listed and not there yet is no stranger to the next verify.
        write_whole(crate / MANIFEST, manifest.dump())
        for path in figures:
            write_whole(crate / path.name, path.read_bytes())
        for gone in {file.name for file in before.files} - {file.name for file in files}:
            (crate / gone).unlink()
        write_whole(crate / SUMS, manifest.sums())
    return manifest

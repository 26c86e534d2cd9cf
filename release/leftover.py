"""What an earlier run left of a version, and whose evidence the finished version carries.

A run on another machine makes the same content and other evidence, whose last
digits differ between processors. A leftover with our content is finished with the
evidence that is there, so that nothing has to be sent twice: a registry that refuses
duplicates takes no second file of one name.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from torchcrate.errors import ContractError, CrateError, RegistryError
from torchcrate.export.artifact import Artifact
from torchcrate.files import reading
from torchcrate.release.manifest import MANIFEST, PARITY, Manifest, differing, is_latency
from torchcrate.release.receive import receive_small
from torchcrate.release.registry import Registry
from torchcrate.release.trust.provenance import alike
from torchcrate.verify.report import Report


def adopt(
    ours: Manifest, crate: Path, held: Mapping[str, str | None], registry: Registry
) -> Manifest:
    """Return the manifest to publish: ours, or ours with the evidence that is there already.

    Args:
        ours: The manifest of the crate to publish.
        crate: Where that crate lies.
        held: The sha256 that the registry holds by file name, None where it holds nothing.
        registry: Where the leftover is.

    Raises:
        RegistryError: If the leftover was published once, with other content, or
            the evidence that is there cannot be read.
    """
    if held.get(MANIFEST) is not None:
        _refuse_other(ours, registry)
    other = [file for file in ours.files if held.get(file.name) not in (None, file.sha256)]
    if any(file.kind == "content" or file.role == "variant" for file in other):
        return ours
    left = {
        file.name: receive_small(registry, ours.name, ours.version, file.name) for file in other
    }
    taken = {
        file.name: replace(file, size=len(left[file.name]), sha256=str(held[file.name]))
        for file in other
    }
    manifest = replace(ours, files=tuple(taken.get(file.name, file) for file in ours.files))
    for file in other:
        if file.role == "provenance":
            with reading(crate / file.name):
                if not alike((crate / file.name).read_bytes(), left[file.name]):
                    return ours
    judged = [file for file in taken.values() if file.role not in ("bench", "provenance")]
    if judged:
        report = _report_of(judged, manifest, left.get(PARITY, b""))
        if report is None:
            return ours
        manifest = replace(manifest, parity=report.runtimes)
    if any(file.role == "bench" for file in other):
        manifest = _measured(manifest, held)
    return manifest


def _report_of(judged: Collection[Artifact], manifest: Manifest, data: bytes) -> Report | None:
    """Return the green report in `data` if it is of these very bytes."""
    try:
        report = Report.parse(data)
    except ContractError:
        return None  # nothing says what it is evidence of
    needed = {(file.name, file.sha256) for file in judged if file.role != "parity"}
    stated = {(file.name, file.sha256) for file in manifest.files}
    said = set(report.judged.items())
    return report if report.passed and needed <= said <= stated else None


def _measured(manifest: Manifest, held: Mapping[str, str | None]) -> Manifest:
    """Return `manifest` with the figures that are there, with none where some are missing.

    Their latency is not the one that we found.
    """
    metrics = {name: value for name, value in manifest.metrics.items() if not is_latency(name)}
    files = manifest.files
    if any(file.role == "bench" and held.get(file.name) is None for file in files):
        files = tuple(file for file in files if file.role != "bench")
    return replace(manifest, files=files, metrics=metrics)


def _refuse_other(ours: Manifest, registry: Registry) -> None:
    """Refuse to cover what readers have had: a manifest is sent only to show a version."""
    data = receive_small(registry, ours.name, ours.version, MANIFEST)
    try:
        theirs = Manifest.parse(data)
    except CrateError:
        return  # it arrived damaged
    if (theirs.name, theirs.version, theirs.content) != (ours.name, ours.version, ours.content):
        raise RegistryError(
            f"{ours.name} {ours.version} was published in {registry.where} with other content, "
            f"{', '.join(differing(ours, theirs))}, and is hidden since: take the next version "
            "number, or publish the crate that it is of, which lists it again"
        )

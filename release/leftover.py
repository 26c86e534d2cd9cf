"""What an earlier run left of a version, and whose evidence the finished version carries.

A run on another machine makes the same content and other evidence, whose last
digits differ between processors. A leftover with our content is finished with the
evidence that is there, so that nothing has to be sent twice.
"""

from collections.abc import Mapping
from dataclasses import replace

from torchcrate.errors import ContractError, CrateError, RegistryError
from torchcrate.release.manifest import MANIFEST, PARITY, Manifest, differing, is_latency
from torchcrate.release.receive import receive_small
from torchcrate.release.registry import Registry
from torchcrate.verify.report import Report


def adopt(ours: Manifest, held: Mapping[str, str | None], registry: Registry) -> Manifest:
    """Return the manifest to publish: ours, or ours with the evidence that is there already.

    Args:
        ours: The manifest of the crate to publish.
        held: The sha256 that the registry holds by file name, None where it holds nothing.
        registry: Where the leftover is.

    Raises:
        RegistryError: If the leftover was published once, with other content, or
            the evidence that is there cannot be read.
    """
    if held.get(MANIFEST) is not None:
        _refuse_other(ours, registry)
    found = {file: sha256 for file, sha256 in held.items() if sha256 is not None}
    other = [file for file in ours.files if found.get(file.name, file.sha256) != file.sha256]
    ours_alone = any(file.kind == "content" or file.role == "variant" for file in other)
    if not other or ours_alone or PARITY not in found:
        return ours  # nothing to adopt, or nothing that says what it is evidence of
    data = {
        file.name: receive_small(registry, ours.name, ours.version, file.name) for file in other
    }
    files = tuple(
        replace(file, size=len(data[file.name]), sha256=found[file.name])
        if file.name in data
        else file
        for file in ours.files
    )
    try:
        report = Report.parse(data.get(PARITY, b""))
    except ContractError:
        return ours
    needed = {
        (file.name, file.sha256)
        for file in files
        if file.name in data and file.role not in ("parity", "bench")
    }
    judged = set(report.judged.items())
    if not report.passed or not needed <= judged <= {(file.name, file.sha256) for file in files}:
        return ours  # it is not of these bytes
    metrics = ours.metrics
    if any(file.role == "bench" for file in other):  # whose latency is not the one that we found
        metrics = {name: value for name, value in metrics.items() if not is_latency(name)}
    return replace(ours, files=files, metrics=metrics, parity=report.runtimes)


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
            f"{', '.join(differing(ours, theirs))}, and is hidden since: let a Maintainer delete "
            "it, or take the next version number"
        )

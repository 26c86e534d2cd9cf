"""The whole road in one call each: what `export`, `verify` and `demo` join from the rooms."""

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from torchcrate.export.artifact import sha256_of
from torchcrate.export.models import export_models
from torchcrate.files import writing
from torchcrate.model import checkpoint as weights
from torchcrate.model.record import Record
from torchcrate.model.samples import DRAWINGS
from torchcrate.model.spec import Spec
from torchcrate.release import crate as crates
from torchcrate.release.manifest import Manifest, check_name, check_version
from torchcrate.release.trust.provenance import Materials, Origin
from torchcrate.table import table
from torchcrate.verify import inputs
from torchcrate.verify.drive import programs
from torchcrate.verify.judge import judge
from torchcrate.verify.report import Parity

Say = Callable[[str], None]


def export(
    spec: Spec,
    checkpoint: Path | None,
    out: Path,
    name: str,
    version: str,
    origin: Origin,
    say: Say,
) -> Manifest:
    """Write the whole crate but for the seal into `out`, and return its draft.

    Raises:
        CrateError: If the checkpoint does not fit, a format cannot hold the network,
            or `out` cannot be written.
    """
    check_name(name), check_version(version)
    checkpoint = checkpoint or spec.checkpoint
    module = weights.load(checkpoint)
    sha256 = sha256_of(checkpoint)
    record = Record.beside(checkpoint, sha256)
    with crates.assembling(out) as folder:
        exported = export_models(module, spec, folder, say)
        say("programs and instructions")
        draft = Manifest(
            name=name,
            version=version,
            contract=spec.contract,
            metrics={"accuracy": record.accuracy, "loss": record.loss} if record else {},
            tools=exported.tools,
            minimum=exported.minimum,
            commit=origin.commit,
            content="",
            files=(*exported.artifacts, *crates.copy_programs(spec, folder)),
        )
        materials = Materials(spec.name, sha256, record.data if record else {})
        return crates.write_draft(folder, draft, spec, origin, materials)


def verify(spec: Spec, crate: Path, build: Path, data_dir: Path | None, say: Say) -> Manifest:
    """Judge the crate and seal it; a seal that it had is taken off first.

    Raises:
        ParityError: If a runtime is off; parity.json holds every figure.
        CrateError: If the crate is none, or a program cannot be built or run.
    """
    asked = inputs.cases() | (inputs.mnist_cases(data_dir) if data_dir else {})
    draft = crates.unseal(crate)
    return crates.seal(crate, judge(crate, draft.files, spec, build, asked, say))


def parity_table(parity: Sequence[Parity]) -> str:
    """Return the figures of a verification, one line a runtime and way of asking."""
    head = ("runtime", "asked with", "images", "largest", "99.9 %", "allowed", "needed")
    rows = [(*head, "flips", "margin")]
    rows += [
        (
            entry.runtime,
            entry.way,
            str(entry.images),
            _figure(entry.maximum),
            _figure(entry.p999),
            _figure(entry.limit),
            _figure(entry.needed),
            str(entry.flips),
            _figure(entry.margin),
        )
        for entry in parity
    ]
    return table(rows)


def demo(
    spec: Spec, build: Path, data_dir: Path | None, version: str, origin: Origin, say: Say
) -> str:
    """Go the road from the committed checkpoint to a pulled crate, and ask every runner.

    Returns:
        A table for people: what each runner said, its parity figures, its time.
    """
    from torchcrate.release.publish import publish
    from torchcrate.release.pull import pull
    from torchcrate.release.registry import open_registry

    crate, pulled = build / "crate", build / "pulled"
    export(spec, None, crate, spec.name, version, origin, say)
    verify(spec, crate, build / "cpp", data_dir, say)
    # Its own registry, made anew: a changed checkout may show the same version again.
    with writing(build / "registry"):
        shutil.rmtree(build / "registry", ignore_errors=True)
        (build / "registry").mkdir(parents=True)
    with open_registry(str(build / "registry"), {}) as registry:
        say(f"publish to {build / 'registry'}")
        publish(crate, registry)
        say(f"pull {spec.name}@{version} into {pulled}")
        manifest = pull(f"{spec.name}@{version}", registry, pulled)
    images = sorted(DRAWINGS.glob("*.png"))
    rows = [("runtime", f"said of {len(images)} PNGs", "right", "difference", "seconds")]
    largest = {entry.runtime: entry.maximum for entry in manifest.parity if entry.way == "tensors"}
    truth = [image.name[0] for image in images]
    for program in programs(pulled, build / "cpp" / "run_libtorch"):
        say(f"{program.runtime} reads {len(images)} images")
        started = time.monotonic()
        answers = program.read(images)
        seconds = time.monotonic() - started
        said = [spec.contract.labels[int(answers[image.name].argmax())] for image in images]
        right = sum(one == other for one, other in zip(said, truth, strict=True))
        rows.append(
            (
                program.runtime,
                " ".join(said),
                f"{right}/{len(images)}",
                _figure(largest[program.runtime]),
                f"{seconds:.1f}",
            )
        )
    return f"{parity_table(manifest.parity)}\n\n{table(rows)}"


def _figure(value: float | None) -> str:
    return "none" if value is None else f"{value:.1e}"

"""The whole road in one call each: how `export`, `verify`, `optimise` and `demo` join the rooms."""

import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from torchcrate.bench.race import Rules
from torchcrate.bench.subject import Subject
from torchcrate.errors import ContractError, UsageError
from torchcrate.export.artifact import Artifact, sha256_of
from torchcrate.export.findings import NAME as FINDINGS
from torchcrate.export.findings import Findings
from torchcrate.files import reading, write_whole, writing
from torchcrate.model import cases, project, targets
from torchcrate.model.record import Record
from torchcrate.model.samples import DRAWINGS
from torchcrate.model.spec import ModelSpec
from torchcrate.release import crate as crates
from torchcrate.release.manifest import Manifest, check_name, check_version
from torchcrate.release.revision import restate, revising
from torchcrate.release.trust.provenance import Materials, Origin
from torchcrate.table import table
from torchcrate.variants import optimise as optimising
from torchcrate.variants.optimise import Material
from torchcrate.verify.drive import programs
from torchcrate.verify.figures import NAME as FIGURES
from torchcrate.verify.figures import Variants
from torchcrate.verify.judge import judge
from torchcrate.verify.report import Parity
from torchcrate.verify.variants import Allowed

Say = Callable[[str], None]


def export(
    spec: ModelSpec,
    target: str,
    out: Path,
    version: str,
    origin: Origin,
    say: Say,
) -> tuple[Manifest, Findings]:
    """Write the whole crate but for the seal into `out`; return its draft and what was found.

    Args:
        spec: The network.
        target: Where it was found, `package.module:name`; "" for the table of a project.
        out: The folder of the crate.
        version: Of the crate.
        origin: Where it is made.
        say: Called with a word before each step.

    Raises:
        CrateError: If the checkpoint does not fit, no format holds the network, one that the
            spec asks for does not, or `out` cannot be written.
    """
    check_name(spec.name), check_version(version)
    from torchcrate.export.models import export_models  # torch, sympy, onnxscript: seconds
    from torchcrate.model import weights

    say("weights")
    loaded = weights.load(spec)
    record, sha256 = None, ""
    if spec.checkpoint is not None:
        sha256 = sha256_of(spec.checkpoint)
        record = Record.beside(spec.checkpoint, sha256)
    with crates.assembling(out) as folder:
        exported = export_models(loaded, spec, folder, crates.program_names(spec), target, say)
        say("programs and instructions")
        write_whole(folder / FINDINGS, exported.findings.dump())
        files = (*exported.artifacts, Artifact.of(folder / FINDINGS, "findings"))
        formats = {format for file in files for format in file.formats}
        if exported.sources is None:
            formats -= {"eager"}
        made = exported.sources
        network, needed = (made.files, made.requirements) if made else ({}, ())
        shipped = crates.copy_programs(spec, formats, folder, network, needed)
        draft = Manifest(
            name=spec.name,
            version=version,
            contract=exported.contract,
            metrics={"accuracy": record.accuracy, "loss": record.loss} if record else {},
            tools=exported.tools,
            minimum=exported.minimum,
            commit=origin.commit,
            content="",
            files=(*files, *shipped),
        )
        materials = Materials(sha256, record.data if record else {})
        return crates.write_draft(folder, draft, spec, origin, materials), exported.findings


def verify(
    spec: ModelSpec | None,
    crate: Path,
    build: Path,
    data_dir: Path | None,
    say: Say,
    tolerances: Mapping[str, float] = MappingProxyType({}),
    device: str = "",
) -> Manifest:
    """Judge the crate and seal it; a seal that it had is taken off first.

    Args:
        spec: The network; None takes the one that export wrote down.
        crate: The folder of the crate.
        build: Where the C++ program is built.
        data_dir: Holds more to ask, where the spec knows how to read it.
        say: Called with a word before each step.
        tolerances: Of runtimes, instead of what the spec says.
        device: What the programs are asked on; see `judge`.

    Raises:
        ParityError: If a runtime is off; parity.json holds every figure.
        CrateError: If the crate is none, its network is not found, or a program cannot be
            built or run.
    """
    stated = crates.stated(crate)
    spec = (spec or spec_of_crate(crate, stated)).tolerating(tolerances)
    asked = cases.samples(spec, stated.contract)
    if data_dir and spec.data:
        asked |= cases.chosen(spec, "data", data_dir)
    truth = cases.made(spec, "truth", data_dir) if data_dir and spec.truth else {}
    draft = crates.unseal(crate)
    report = judge(crate, draft.files, draft.contract, spec, build, asked, say, truth, device)
    say("seal")
    return crates.seal(crate, report)


def optimise(
    spec: ModelSpec | None,
    crate: Path,
    data_dir: Path | None,
    keep: Collection[str],
    difference: float,
    rounds: int,
    say: Say,
) -> Variants:
    """Put into the crate what is faster than its model.onnx and as good, and what was found.

    A seal that the crate had is taken off. If anything fails, the crate stays as it was.

    Args:
        spec: The network; None takes the one that export wrote down.
        crate: The folder of the crate.
        data_dir: Holds what to calibrate on and to measure accuracy with, where the spec knows
            how to read it.
        keep: The variants that are shipped though they are not faster.
        difference: The largest that a variant without labels may show.
        rounds: Of each race.
        say: Called with a word before each step.

    Raises:
        UsageError: If the crate has no model.onnx.
        CrateError: If the crate is none, its network is not found, or it cannot be run.
    """
    from torchcrate.verify.reference import Reference

    stated = crates.stated(crate)
    spec = spec or spec_of_crate(crate, stated)
    if "onnx" not in stated.formats:
        raise UsageError(f"{crate} has no model.onnx, and variants are made of it")
    checkpoint = next(file.name for file in stated.files if file.role == "state_dict")
    reference = Reference.of(crate / checkpoint, stated.contract, spec)
    material = Material.of(spec, stated.contract, data_dir)
    allowed = Allowed(difference=difference)
    with revising(crate) as (folder, draft):
        title = f"{draft.name} {draft.version}"
        subject = Subject(folder, title, draft.content, draft.contract, draft.files)
        found = optimising.optimise(subject, reference, material, keep, allowed, Rules(rounds), say)
        write_whole(folder / FIGURES, found.dump())
        made = [Artifact.of(folder / FIGURES, "figures", ("onnx",))]
        for each in found.candidates:
            if each.shipped:
                made.append(Artifact.of(folder / each.file, "variant", ("onnx",)))
        restate(folder, draft, ("variant", "figures"), made)
    return found


def spec_of_crate(crate: Path, draft: Manifest) -> ModelSpec:
    """Return the spec of what was exported into a crate, as it is importable here.

    Raises:
        ContractError: If the crate does not say what it was made of.
        UsageError: If that cannot be imported.
    """
    with reading(crate / FINDINGS):
        findings = Findings.parse((crate / FINDINGS).read_bytes())
    found = targets.resolve(findings.spec) if findings.spec else project.spec_here(Path.cwd())
    if isinstance(found, ModelSpec):
        return found
    if found is None:
        raise ContractError(
            f"{crate} was made of a [tool.torchcrate] table, and ./{project.FILE} has none: "
            "verify it where it was exported"
        )
    return ModelSpec(
        name=draft.name,
        build=findings.spec,
        inputs=draft.contract.inputs,
        arguments=findings.arguments or {},
    )


def findings_lines(findings: Findings) -> list[str]:
    """Return for people how each format was made, and why one is not there."""
    lines = []
    for form in findings.formats:
        if not form.way:
            lines.append(f"{form.name} is left out: {form.reason}")
        elif form.trials:
            why = f", because {form.reason}" if form.reason else ""
            lines.append(f"{form.name} by {form.trials[-1].words()}{why}")
    return lines


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
    spec: ModelSpec,
    target: str,
    build: Path,
    data_dir: Path | None,
    version: str,
    origin: Origin,
    say: Say,
) -> str:
    """Go the road from the committed checkpoint to a pulled crate, and ask every runner.

    Returns:
        A table for people: what each runner said, its parity figures, its time.
    """
    from torchcrate.release.publish import publish
    from torchcrate.release.pull import pull
    from torchcrate.release.registry import open_registry

    crate, pulled = build / "crate", build / "pulled"
    export(spec, target, crate, version, origin, say)
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
    answer = manifest.contract.outputs[0]
    runners = [file.name for file in manifest.files if file.role == "runner"]
    for program in programs(pulled, runners, build / "cpp" / "run_libtorch"):
        say(f"{program.runtime} reads {len(images)} images")
        started = time.monotonic()
        answers = program.read(images, {answer.name: answer.dtype})
        seconds = time.monotonic() - started
        found = [answers[image.name][answer.name].argmax() for image in images]
        said = [spec.contract.labels[int(place)] for place in found]
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

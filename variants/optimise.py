"""Each candidate made, measured and judged; what earns its place stays in the crate's folder."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnx

from torchcrate.bench.machine import described
from torchcrate.bench.race import Rules
from torchcrate.bench.subject import Subject
from torchcrate.errors import CrateError, ExportError
from torchcrate.export.artifact import sha256_of
from torchcrate.files import write_whole
from torchcrate.model import cases
from torchcrate.model.contract import Contract
from torchcrate.model.spec import Answers, Cases, ModelSpec
from torchcrate.variants import make
from torchcrate.variants.pace import faster, paces
from torchcrate.verify.drive import programs, write_inputs
from torchcrate.verify.figures import Deviation, Variant, Variants
from torchcrate.verify.variants import ROOM, Allowed, Truth, deviation, held_out, program, refusal

if TYPE_CHECKING:
    from torchcrate.verify.reference import Reference

MODEL = "model.onnx"
NAMES = ("int8", "fp16")
_NEEDED = 2e-5  # the least limit that is stated: what kernels differ by anyway

Say = Callable[[str], None]


@dataclass(frozen=True)
class Material:
    """What variants are made and measured with.

    Attributes:
        calibrating: What int8 is calibrated on; none of it is measured on.
        calibration: What that is, for people.
        samples: What is measured on, made for every check.
        data: What is measured on beside, as the network meets it.
        truth: The right labels of `data`.
        others: What verification and the selftest ask besides; it widens the limit alone.
    """

    calibrating: Cases
    calibration: str
    samples: Cases
    data: Cases = field(default_factory=dict)
    truth: Truth = field(default_factory=dict)
    others: Cases = field(default_factory=dict)

    @classmethod
    def of(cls, spec: ModelSpec, contract: Contract, data_dir: Path | None) -> "Material":
        """Return what a spec has for it; nothing is both calibrated on and measured on.

        Raises:
            CrateError: If the spec's own makers cannot read `data_dir`, or give no cases.
        """
        samples, golden = cases.samples(spec, contract), cases.telling(spec, contract)
        data = cases.chosen(spec, "data", data_dir) if data_dir and spec.data else {}
        truth = cases.made(spec, "truth", data_dir) if data_dir and spec.truth else {}
        if data_dir and spec.calibration:
            calibrating = cases.chosen(spec, "calibration", data_dir)
            return cls(calibrating, "data", samples, data, truth, golden)
        if spec.samples is None:
            return cls(cases.unlike(contract), "made-up inputs", samples, data, truth, golden)
        calibrating, measured = held_out(samples)
        return cls(calibrating, "samples", measured, data, truth, golden | calibrating)


def optimise(
    subject: Subject,
    reference: "Reference",
    material: Material,
    keep: Collection[str],
    allowed: Allowed,
    rules: Rules,
    say: Say,
) -> Variants:
    """Make each variant in the folder of a crate, measure it, and remove it if it earns no place.

    A variant stays if it holds against eager and is faster than model.onnx at each size of batch.

    Args:
        subject: The crate, in a folder that may be written to.
        reference: What is right.
        material: What to calibrate and to measure with.
        keep: Variants that stay though they are not faster; never though they do not hold.
        allowed: What a variant may lose.
        rules: Of the races.
        say: Called with a word before each step.

    Raises:
        RunnerError: If model.onnx itself cannot be asked or raced.
        FolderError: If the folder cannot be written.
    """
    say("reference")
    with TemporaryDirectory(prefix="torchcrate-") as scratch:
        asked = _Asked.of(subject, reference, material, Path(scratch))
        model = asked.judged(Variant("", MODEL, shipped=True, why="the model itself"))
        made = [_made(subject, name, material, say) for name in NAMES]
        measured = [_measured(each, asked, allowed, say) for each in made]
        racing = [each.name for each in measured if not each.why]
        found = paces(subject, racing, rules, Path(scratch), say)
    model = replace(model, paces=found[""])
    candidates = []
    for each in measured:
        judged = _decided(replace(each, paces=found.get(each.name, ())), keep)
        candidates.append(judged)
        if not judged.shipped:
            (subject.folder / judged.file).unlink(missing_ok=True)
    return Variants(material.calibration, described(), model, tuple(candidates))


@dataclass(frozen=True)
class _Asked:
    """Inputs on disk, and eager's answers to them."""

    subject: Subject
    contract: Contract
    inputs: Path
    samples: Mapping[str, Answers]
    data: Mapping[str, Answers]
    others: Mapping[str, Answers]
    truth: Truth

    @classmethod
    def of(
        cls, subject: Subject, reference: "Reference", material: Material, scratch: Path
    ) -> "_Asked":
        inputs = scratch / "inputs.safetensors"
        renamed = {f"other-{name}": case for name, case in material.others.items()}
        parts = (material.samples, material.data, renamed)
        write_inputs(inputs, {name: case for part in parts for name, case in part.items()})
        samples, data, others = (reference.answers(part) for part in parts)
        return cls(subject, reference.contract, inputs, samples, data, others, material.truth)

    def judged(self, variant: Variant) -> Variant:
        """Return `variant` with the figures of what the crate's program answers with it.

        Raises:
            RunnerError: If the program fails.
        """
        crate = self.subject.folder
        (plain,) = programs(crate, ["run_onnx.py"], None)
        asked = program(crate, variant.name) if variant.name else plain
        got = asked.answer(self.inputs, self.inputs.parent)

        def found(want: Mapping[str, Answers]) -> Deviation | None:
            return deviation(want, got, self.contract, self.truth) if want else None

        path = crate / variant.file
        judged = replace(variant, size=path.stat().st_size, sha256=sha256_of(path))
        judged = replace(judged, samples=found(self.samples), data=found(self.data))
        every = (*judged.found, found(self.others))
        largest = max((each.maximum or 0.0 for each in every if each), default=0.0)
        return replace(judged, limit=max(ROOM * largest, _NEEDED))


def _made(subject: Subject, name: str, material: Material, say: Say) -> Variant:
    """Write a variant into the crate's folder; if it cannot be made, its `why` is there."""
    variant = Variant(name, MODEL.replace(".", f".{name}."))
    say(variant.file)
    path = subject.folder / MODEL
    try:
        if path.with_name(f"{MODEL}.data").exists():
            raise ExportError("weights that lie beside the graph are not converted")
        model = onnx.load(path)
        if name == "int8":
            content = make.int8(model, subject.contract, material.calibrating)
        else:
            content = make.fp16(model, subject.contract)
    except ExportError as error:
        return replace(variant, why=str(error))
    write_whole(subject.folder / variant.file, content)
    return variant


def _measured(variant: Variant, asked: _Asked, allowed: Allowed, say: Say) -> Variant:
    if variant.why:
        return variant
    say(f"{variant.file} against eager")
    try:
        judged = asked.judged(variant)
    except CrateError as error:
        return replace(variant, why=str(error))
    return replace(judged, why=refusal(judged.found, allowed))


def _decided(variant: Variant, keep: Collection[str]) -> Variant:
    if variant.why:
        return variant
    slow = faster(variant.paces)
    if slow and variant.name in keep and variant.paces:
        return replace(variant, shipped=True, why=f"kept as asked, {slow}")
    return replace(variant, shipped=not slow, why=slow or "faster, and as good")

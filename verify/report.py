"""What verification found: one line a runtime, tied to the bytes that were judged."""

from dataclasses import dataclass, field

from torchcrate.values import decode, encode
from torchcrate.verify.figures import Deviation


@dataclass(frozen=True)
class Parity:
    """How far one runtime's answers are from eager's over all inputs.

    A difference is |got - want| / (1 + |want|), element by element.

    Attributes:
        runtime: "eager", "torchscript", "onnx" or "libtorch", on the CPU; "eager on cuda" and
            so on where there was a CUDA device.
        way: "tensors" (exact batches through --tensors) or "images" (PNG files through --image).
        inputs: How many batches or files were compared.
        images: How many images, or entries of whatever comes in batches, they held.
        limit: The largest difference that was allowed.
        maximum: The largest difference found; NaN is stored as null.
        p999: The 99.9th percentile of the differences.
        flips: Labels that differ where the reference's margin exceeds the limit.
        margin: Smallest top-1 margin of the reference over all images; null without labels.
        needed: The smallest limit that would pass; null if none would, for want of an answer.
        worst: The name of the input with the largest difference, the first with NaN before all.
        passed: Whether every rule held.
    """

    runtime: str
    way: str
    inputs: int
    images: int
    limit: float
    maximum: float | None
    p999: float | None
    flips: int
    margin: float | None
    needed: float | None
    worst: str
    passed: bool


@dataclass(frozen=True)
class Report:
    """The content of parity.json; `Report.parse(r.dump()) == r` holds.

    Attributes:
        judged: sha256 of each file that was judged, by its name: all but the provenance.
        machine: Processor, threads and runtime versions, for people.
        runtimes: One entry a runtime.
        failures: One line for people for each rule that did not hold.
        spread: How much the reference's own answers to different inputs differ, on the scale
            of a difference; null in reports from before it was measured.
        variants: What was found of each optimised variant, by its name.
    """

    judged: dict[str, str]
    machine: dict[str, str]
    runtimes: tuple[Parity, ...]
    failures: tuple[str, ...]
    spread: float | None = None
    variants: dict[str, Deviation] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every runtime passed and at least one was judged."""
        return bool(self.runtimes) and not self.failures and all(p.passed for p in self.runtimes)

    def dump(self) -> bytes:
        """Return the report as JSON, indented for people, ending in a newline."""
        return encode(self)

    @classmethod
    def parse(cls, data: bytes) -> "Report":
        """Read what `dump` wrote.

        Raises:
            ContractError: If `data` is not such JSON.
        """
        return decode(data, cls, "parity.json is not a parity report")

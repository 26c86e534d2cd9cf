"""What was found of optimised variants of model.onnx: variants.json. Needs no numpy."""

from dataclasses import dataclass

from torchcrate.values import decode, encode

NAME = "variants.json"


@dataclass(frozen=True)
class Deviation:
    """How answers lie to eager's over many inputs.

    A difference is |got - want| / (1 + |want|), element by element.

    Attributes:
        inputs: How many cases were asked.
        entries: How many labels were given in all; 0 if the contract has none.
        maximum: The largest difference; null if an answer is missing or not finite.
        worst: The case that has it.
        flipped: The share of labels that are not eager's; null if there are none.
        accuracy: The share of labels that are right, where that is known; else null.
        eager: The same share of eager's labels.
    """

    inputs: int
    entries: int
    maximum: float | None
    worst: str
    flipped: float | None = None
    accuracy: float | None = None
    eager: float | None = None


@dataclass(frozen=True)
class Pace:
    """How long warm calls of a variant took beside those of model.onnx, in the same rounds.

    Attributes:
        batch: Entries of a call; null if the contract has no batch.
        rounds: How many.
        seconds: The median of all calls.
        low: The ratio to model.onnx below which a quarter of the rounds lies.
        median: Likewise, half of them.
        high: Likewise, three quarters.
    """

    batch: int | None
    rounds: int
    seconds: float
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Variant:
    """One candidate, or model.onnx itself.

    Attributes:
        name: "int8" or "fp16"; "" for model.onnx.
        file: Its name in the crate.
        size: Bytes; 0 if it could not be made.
        sha256: Of the file that was measured.
        samples: On the samples of the spec; null if there was nothing to measure.
        data: On the data that `--data-dir` named; null without.
        paces: One for each size of batch.
        limit: The largest difference that verification lets it show.
        shipped: Whether it is in the crate.
        why: Why, or why not.
    """

    name: str
    file: str
    size: int = 0
    sha256: str = ""
    samples: Deviation | None = None
    data: Deviation | None = None
    paces: tuple[Pace, ...] = ()
    limit: float = 0.0
    shipped: bool = False
    why: str = ""

    @property
    def found(self) -> tuple[Deviation, ...]:
        """What was measured: on samples, on data."""
        return tuple(each for each in (self.samples, self.data) if each is not None)


@dataclass(frozen=True)
class Variants:
    """The content of variants.json; `Variants.parse(v.dump()) == v` holds.

    Attributes:
        calibration: What int8 was calibrated on: "data", "samples" or "made-up inputs"; none of
            it is among what it was measured on.
        machine: Processor and versions, for people.
        model: model.onnx itself.
        candidates: What was made of it.
    """

    calibration: str
    machine: dict[str, str]
    model: Variant
    candidates: tuple[Variant, ...]

    def dump(self) -> bytes:
        """Return the figures as JSON, indented for people, ending in a newline."""
        return encode(self)

    @classmethod
    def parse(cls, data: bytes) -> "Variants":
        """Read what `dump` wrote.

        Raises:
            ContractError: If `data` is not such JSON.
        """
        return decode(data, cls, f"{NAME} is not what optimise writes")

"""What export found: how each format was made and why, or why it could not be."""

from dataclasses import dataclass
from typing import Any

from torchcrate.values import decode, encode

NAME = "export.json"


@dataclass(frozen=True)
class Trial:
    """One way of making a format, tried against eager on inputs that making it never saw.

    Attributes:
        way: "script", "trace" or "onnx".
        holds: Whether every answer was within the tolerance.
        reason: Why it does not hold, in the user's terms, with what to change; if it does,
            why that proves little, or "".
        cases: How many inputs were asked.
        largest: The largest difference |got - want| / (1 + |want|); None if nothing was asked.
    """

    way: str
    holds: bool
    reason: str = ""
    cases: int = 0
    largest: float | None = None

    def words(self) -> str:
        """Return the trial on one line."""
        if self.holds:
            weak = f"; {self.reason}" if self.reason else ""
            asked = f"{self.cases} inputs, largest difference {self.largest:.1e}"
            return f"{self.way} holds: {asked}{weak}"
        return f"{self.way} does not hold: {self.reason}"


@dataclass(frozen=True)
class Format:
    """One format of a crate.

    Attributes:
        name: "eager", "torchscript" or "onnx".
        way: The way that was chosen; "" if the crate does not have the format.
        reason: Why that way, or why the format is left out.
        trials: What was tried.
        seconds: What making and trying it took.
        size: Bytes of the model and its side files.
    """

    name: str
    way: str
    reason: str
    trials: tuple[Trial, ...] = ()
    seconds: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class Findings:
    """The content of export.json; `Findings.parse(f.dump()) == f` holds.

    Attributes:
        spec: The name, `package.module:name`, of what was exported; `verify` finds it by this.
        arguments: Keyword arguments of what builds the network; None if none are known.
        formats: One entry a format.
    """

    spec: str
    formats: tuple[Format, ...]
    arguments: dict[str, Any] | None = None

    def dump(self) -> bytes:
        """Return the findings as JSON, indented for people, ending in a newline."""
        return encode(self)

    @classmethod
    def parse(cls, data: bytes) -> "Findings":
        """Read what `dump` wrote.

        Raises:
            ContractError: If `data` is not such JSON.
        """
        return decode(data, cls, f"{NAME} is not what export writes")

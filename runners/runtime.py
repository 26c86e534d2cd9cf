"""What a runtime brings to the command line: a loaded model, or one line on why not.

Exit codes: 0 all answered, 1 an image could not be read, 2 usage, 3 tensors that break
the contract, 5 golden vectors off, 6 a runtime or the model's file missing or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # this module is what says that numpy is missing
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    Array = Any

IMAGE, USAGE, CONTRACT, PARITY, RUNNER = 1, 2, 3, 5, 6


class RunError(Exception):
    """One line for people and the exit code of the program."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


@dataclass(frozen=True)
class Model:
    """A loaded model: the contract that its file carries, and one call.

    Attributes:
        contract: Decoded JSON: inputs, outputs, labels.
        run: Takes the inputs in the contract's order, returns the outputs likewise.
    """

    contract: dict[str, Any]
    run: Callable[[Sequence[Array]], Sequence[Array]]

    def answer(self, given: Sequence[Array]) -> Sequence[Array]:
        """Return what `run` does.

        Raises:
            RunError: If the runtime fails, for lack of memory say.
        """
        try:
            return self.run(given)
        except Exception as error:  # each runtime raises kinds of its own
            raise RunError(RUNNER, f"the model failed: {reason(error)}") from error


Load = Callable[[Path], Model]


def absent(error: Exception, requirements: str) -> RunError:
    """Return the line for a package whose import failed: not there, or there and broken."""
    if isinstance(error, ModuleNotFoundError) and error.name and "." not in error.name:
        line = f"{error.name} is not installed: pip install -r {requirements}"
    else:
        again = f"pip install --force-reinstall -r {requirements}"
        line = f"a package is broken: {reason(error)}; install it again: {again}"
    return RunError(RUNNER, line)


def reason(error: Exception) -> str:
    """Return the first line of what `error` says, as the end of a sentence."""
    words = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return words.split("\n")[0].lower()

"""What a runtime brings to the command line: a loaded model, or one line on why not.

Exit codes: 0 all answered, 1 an image or a line could not be read, 2 usage, 3 tensors that break
the contract, 5 golden vectors off, 6 a runtime or the model's file missing or refused.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # this module is what says that numpy is missing
    from numpy.typing import NDArray

    from contract import Contract

    Array = NDArray[Any]
else:
    Array = Any

IMAGE, USAGE, CONTRACT, PARITY, RUNNER = 1, 2, 3, 5, 6

_SMALL = 2**22  # bytes of a model's file


class RunError(Exception):
    """One line for people and the exit code of the program."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


# What a model is loaded for: "exact" gives the numbers that the runtime gives when nobody tunes
# it; "one" answers once, "warm" again and again, one call at a time; "many" answers large batches
# from several threads at once.
Work = Literal["exact", "one", "warm", "many"]


@dataclass(frozen=True)
class Model:
    """A loaded model: the contract that its file carries, and one call.

    Attributes:
        contract: Its inputs, outputs and labels.
        run: Takes the inputs in the contract's order, None for one that is absent, and returns
            the outputs likewise.
    """

    contract: Contract
    run: Callable[[Sequence[Array | None]], Sequence[Array]]

    def answer(self, given: Sequence[Array | None]) -> Sequence[Array]:
        """Return what `run` does.

        Raises:
            RunError: If an input or an answer breaks the contract, or the runtime fails, for
                lack of memory say.
        """
        sizes = self.contract.check_inputs(given)
        try:
            answers = self.run(given)
        except RunError:
            raise
        except Exception as error:  # each runtime raises kinds of its own
            raise RunError(RUNNER, f"the model failed: {reason(error)}") from error
        self.contract.check_outputs(answers, sizes)
        return answers


Load = Callable[[Path, Work, str], Model]  # of a crate, for what, on which device: "cpu", "cuda"


def is_small(*files: Path) -> bool:
    """Return whether a call of the model in `files` is too little work to be shared by threads.

    Threads that wait for each other cost tens of microseconds a layer, and on a machine with
    anything else to do milliseconds; a model with as few weights is done before.
    """
    return sum(file.stat().st_size for file in files if file.exists()) < _SMALL


def model_file(crate: Path, name: str) -> Path:
    """Return the path of a crate's model, which is a file that can be opened.

    Raises:
        RunError: If it is not; in the words of script_model.cpp.
    """
    path = crate / name
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for a writer
            raise RunError(RUNNER, f"{path} is not a file: --crate names the folder of a crate")
        with path.open("rb"):
            return path
    except (FileNotFoundError, NotADirectoryError) as error:
        line = f"{path} does not exist: --crate names the folder of a crate"
        raise RunError(RUNNER, line) from error
    except OSError as error:
        raise RunError(RUNNER, f"cannot read {path}: {reason(error)}") from error


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

"""What a runtime brings to the command line: a loaded model, or one line on why not.

Exit codes: 0 all answered, 1 an image could not be read, 2 usage, 3 tensors that break
the contract, 5 golden vectors off, 6 a runtime or the model's file missing or refused.
"""

from __future__ import annotations

import json
import stat
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
        contract: Decoded JSON: inputs, outputs, labels; see `parse_contract`.
        run: Takes the inputs in the contract's order, returns the outputs likewise.
    """

    contract: dict[str, Any]
    run: Callable[[Sequence[Array]], Sequence[Array]]

    def answer(self, given: Sequence[Array]) -> Sequence[Array]:
        """Return what `run` does.

        Raises:
            RunError: If an input or an answer breaks the contract, or the runtime fails, for
                lack of memory say.
        """
        for spec, tensor in zip(self.contract["inputs"], given, strict=True):
            _check(spec, tensor)
        try:
            answers = self.run(given)
        except Exception as error:  # each runtime raises kinds of its own
            raise RunError(RUNNER, f"the model failed: {reason(error)}") from error
        outputs = self.contract["outputs"]
        if len(answers) != len(outputs):
            found = f"the model answers with {len(answers)} tensors"
            raise RunError(CONTRACT, f"{found}, the contract has {len(outputs)}")
        for spec, tensor in zip(outputs, answers, strict=True):
            _check(spec, tensor)
        return answers


Load = Callable[[Path], Model]


def parse_contract(text: str | bytes) -> dict[str, Any]:
    """Return the contract that a model carries as JSON; `text` is empty if it carries none.

    Raises:
        ValueError: If it is no contract: not JSON, or a part is missing or of another kind.
    """
    if not text:
        raise ValueError("it carries no contract")
    try:
        contract = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a contract: {error}") from error
    if not isinstance(contract, dict):
        raise ValueError("not a contract: no object of JSON")
    for side in ("inputs", "outputs"):
        specs = contract.get(side)
        if not isinstance(specs, list) or not specs or not all(map(_is_spec, specs)):
            raise ValueError(f"not a contract: {side} is no list of tensors with their axes")
    if not _are_words(contract.get("labels")):
        raise ValueError("not a contract: labels is no list of words")
    return contract


def _is_spec(value: Any) -> bool:
    if not isinstance(value, dict) or not isinstance(value.get("axes"), list):
        return False
    axes = all(isinstance(axis, str) or type(axis) is int for axis in value["axes"])
    return axes and _are_words([value.get(key) for key in ("name", "dtype", "meaning")])


def _are_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _check(spec: dict[str, Any], tensor: Array) -> None:
    """Refuse a tensor with another dtype or shape than the contract has."""
    axes = spec["axes"]
    fits = len(tensor.shape) == len(axes) and all(
        size >= 1 if isinstance(axis, str) else size == axis
        for size, axis in zip(tensor.shape, axes, strict=True)
    )
    if str(tensor.dtype) != spec["dtype"] or not fits:
        found = f"{tensor.dtype}({', '.join(map(str, tensor.shape))})"
        wanted = f"{spec['dtype']}({', '.join(map(str, axes))})"
        raise RunError(CONTRACT, f"{spec['name']} is {found}, the contract has {wanted}")


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

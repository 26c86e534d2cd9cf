"""The four shipped programs, started as a consumer starts them."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from torchcrate.errors import RunnerError
from torchcrate.model.samples import Pixels

Answers = NDArray[np.float32]


@dataclass(frozen=True)
class Program:
    """One of a crate's programs.

    Attributes:
        runtime: "eager", "torchscript", "onnx" or "libtorch".
        command: What starts it, before its options.
        crate: The folder that `--crate` names.
    """

    runtime: str
    command: tuple[str, ...]
    crate: Path

    def answer(self, inputs: Path, folder: Path) -> dict[str, Answers]:
        """Return the answer to each case of the safetensors file `inputs`, by case.

        Args:
            inputs: Holds `CASE.NAME` for each case and input name of the contract.
            folder: Where the program may write its answers.

        Raises:
            RunnerError: If it fails; its last words are in the message.
        """
        out = folder / f"{self.runtime}.safetensors"
        self._run("--tensors", str(inputs), "--out", str(out))
        try:
            tensors = safetensors.numpy.load_file(out)
        except (OSError, safetensors.SafetensorError) as error:
            raise RunnerError(f"{self.runtime} wrote no answers: {error}") from error
        return {key.rpartition(".")[0]: value for key, value in tensors.items()}

    def read(self, images: Sequence[Path]) -> dict[str, Answers]:
        """Return the log-probabilities, (1, C), of each image file by its name.

        Raises:
            RunnerError: If it fails or refuses one of them.
        """
        options = [word for image in images for word in ("--image", str(image))]
        lines = self._run("--json", *options).splitlines()
        rows = [json.loads(line) for line in lines]
        return {Path(row["path"]).name: np.array([row["log_probs"]], np.float32) for row in rows}

    def _run(self, *options: str) -> str:
        command = [*self.command, "--crate", str(self.crate), *options]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise RunnerError(f"{self.runtime} cannot be started: {error}") from error
        if done.returncode:
            words = (done.stderr.strip() or f"no word, exit code {done.returncode}").splitlines()
            raise RunnerError(f"{self.runtime} failed: {words[-1].removeprefix('Error: ')}")
        return done.stdout


def programs(crate: Path, libtorch: Path) -> tuple[Program, ...]:
    """Return the crate's four programs; `libtorch` is the C++ one, built from its sources."""
    python = {"eager": "run_eager.py", "torchscript": "run_torchscript.py", "onnx": "run_onnx.py"}
    crate = crate.resolve()
    return (
        *(
            Program(name, (sys.executable, str(crate / file)), crate)
            for name, file in python.items()
        ),
        Program("libtorch", (str(libtorch.resolve()),), crate),
    )


def write_inputs(path: Path, name: str, cases: Mapping[str, Pixels]) -> None:
    """Write the inputs of all cases, `name` being the contract's, where `answer` reads them."""
    tensors = {f"{case}.{name}": np.ascontiguousarray(image) for case, image in cases.items()}
    safetensors.numpy.save_file(tensors, path)

"""The shipped programs, started as a consumer starts them."""

import json
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from torchcrate.errors import RunnerError
from torchcrate.model.spec import Answers, Cases

PYTHON = (sys.executable, "-B")  # a crate stays as it was exported, without __pycache__


@dataclass(frozen=True)
class Program:
    """One of a crate's programs.

    Attributes:
        runtime: "eager", "torchscript", "onnx" or "libtorch".
        command: What starts it, before its options.
        crate: The folder that `--crate` names.
        device: "cpu" or "cuda", what computes.
    """

    runtime: str
    command: tuple[str, ...]
    crate: Path
    device: str = "cpu"

    @property
    def name(self) -> str:
        """The runtime, and the device where it is not the CPU: "eager", "eager on cuda"."""
        return self.runtime if self.device == "cpu" else f"{self.runtime} on {self.device}"

    def answer(self, inputs: Path, folder: Path) -> dict[str, Answers]:
        """Return the answer to each case of the safetensors file `inputs`, by case.

        Args:
            inputs: Holds `CASE.NAME` for each case and input name of the contract.
            folder: Where the program may write its answers.

        Raises:
            RunnerError: If it fails; its last words are in the message.
        """
        out = folder / f"{self.runtime}-{self.device}.safetensors"
        self._run("--tensors", str(inputs), "--out", str(out))
        try:
            tensors = safetensors.numpy.load_file(out)
        except (OSError, safetensors.SafetensorError) as error:
            raise RunnerError(f"{self.name} wrote no answers: {error}") from error
        answers: dict[str, Answers] = {}
        for key, value in tensors.items():
            case, _, name = key.rpartition(".")
            answers.setdefault(case, {})[name] = value
        return answers

    def read(self, images: Sequence[Path], dtypes: Mapping[str, str]) -> dict[str, Answers]:
        """Return the answer to each image file, batch of one, by its name.

        Args:
            images: The files.
            dtypes: Of each output, by its name.

        Raises:
            RunnerError: If it fails or refuses one of them.
        """
        options = [word for image in images for word in ("--image", str(image))]
        lines = self._run("--json", *options).splitlines()
        rows = [json.loads(line) for line in lines]
        return {
            Path(row["path"]).name: {
                name: np.array([row[name]], dtype) for name, dtype in dtypes.items()
            }
            for row in rows
        }

    def _run(self, *options: str) -> str:
        command = [*self.command, "--crate", str(self.crate), *options]
        if self.device != "cpu":
            command += ["--device", self.device]
        try:
            # From the crate, where nothing lies that only its author has.
            done = subprocess.run(
                command, cwd=self.crate, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise RunnerError(f"{self.name} cannot be started: {error}") from error
        if done.returncode:
            words = (done.stderr.strip() or f"no word, exit code {done.returncode}").splitlines()
            raise RunnerError(f"{self.name} failed: {words[-1].removeprefix('Error: ')}")
        return done.stdout


def programs(
    crate: Path,
    runners: Collection[str],
    libtorch: Path | None,
    asked_on: Callable[[str], Sequence[str]] = lambda runtime: ("cpu",),
) -> tuple[Program, ...]:
    """Return the crate's programs, each once for every device it is asked on.

    Args:
        crate: Its folder.
        runners: The names of its files that are started.
        libtorch: The C++ one, built from its sources; None if it has none.
        asked_on: Returns the devices of a runtime.
    """
    python = {"eager": "run_eager.py", "torchscript": "run_torchscript.py", "onnx": "run_onnx.py"}
    crate = crate.resolve()
    commands: dict[str, tuple[str, ...]] = {
        name: (*PYTHON, str(crate / file)) for name, file in python.items() if file in runners
    }
    if libtorch is not None:
        commands["libtorch"] = (str(libtorch.resolve()),)
    return tuple(
        Program(name, command, crate, device)
        for name, command in commands.items()
        for device in asked_on(name)
    )


def write_inputs(path: Path, cases: Cases) -> None:
    """Write the inputs of all cases where `answer` reads them."""
    tensors = {
        f"{case}.{name}": np.array(value, order="C")
        for case, inputs in cases.items()
        for name, value in inputs.items()
    }
    safetensors.numpy.save_file(tensors, path)

"""Processes that hold a model warm, so that contestants of one race can be asked in turns."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import safetensors.numpy

from torchcrate.bench.bare import Array
from torchcrate.bench.race import Contestant, Sample
from torchcrate.bench.subject import Subject, one_case
from torchcrate.errors import RunnerError

# One thread for the reference kernel: it is to be the same work on every machine.
_ENV = {"OPENBLAS_NUM_THREADS": "1"}


class Worker:
    """One process of `ask` or `bench_call`; made by `working`, which ends it."""

    def __init__(self, process: "subprocess.Popen[str]", errors: IO[str]) -> None:
        self._process, self._errors = process, errors

    def contestant(self, name: str, call: str, count: int) -> Contestant:
        """Return a contestant whose turn is `count` calls; `call` is a word that it knows.

        A turn fails if the model cannot be loaded, or the process ended.
        """
        return Contestant(name, lambda: self._timed(call, count))

    def _timed(self, call: str, count: int) -> Sample:
        assert self._process.stdin
        with suppress(BrokenPipeError):  # reading says why it ended
            self._process.stdin.write(f"{call} {count}\n")
            self._process.stdin.flush()
        return msgspec.json.decode(self._line(), type=Sample)

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            self._process.kill()
            self._process.wait()
            self._errors.seek(0)
            said = self._errors.read().strip().splitlines()
            words = said[-1] if said else f"exit code {self._process.returncode}"
            raise RunnerError(f"it failed: {words.removeprefix('Error: ')}")
        return line


@contextmanager
def working(
    subject: Subject,
    runtime: str,
    scratch: Path,
    env: Mapping[str, str] | None = None,
    case: Mapping[str, Array] | None = None,
) -> Iterator[Worker]:
    """Give a worker that holds `subject` in `runtime`; it ends with the block.

    Args:
        subject: The crate.
        runtime: One of its `runtimes`.
        scratch: A folder for the inputs.
        env: Variables for it beside those that are set here.
        case: The inputs of one call, unless `scratch` has them; by default one image.
    """
    inputs = scratch / f"{subject.content[:12]}.npz"
    if not inputs.exists():
        np.savez(inputs, **(case or one_case(subject)))  # type: ignore[arg-type]  # keywords name arrays
    command = [sys.executable, "-m", "torchcrate.bench.ask", runtime]
    words = [f"{name}={value}" for name, value in {**_ENV, **(env or {})}.items()]
    with _started(["env", *words, *command, str(subject.folder.resolve()), str(inputs)]) as worker:
        yield worker


@contextmanager
def working_in_cpp(subject: Subject, program: Path, scratch: Path) -> Iterator[Worker]:
    """Give a worker that holds `subject` in LibTorch; it ends with the block.

    Args:
        subject: The crate.
        program: `bench_call`, built with its sources.
        scratch: A folder for the inputs: one image, or what fits.
    """
    inputs = scratch / f"{subject.content[:12]}.safetensors"
    if not inputs.exists():
        case = {name: np.array(value, order="C") for name, value in one_case(subject).items()}
        safetensors.numpy.save_file(case, inputs)
    with _started([str(program), str(subject.folder.resolve()), str(inputs)]) as worker:
        yield worker


@contextmanager
def _started(command: list[str]) -> Iterator[Worker]:
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            yield Worker(process, errors)
        finally:
            process.kill()
            assert process.stdin
            with suppress(BrokenPipeError):  # what it was last asked, it need not have read
                process.stdin.close()


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Keep `count` cores busy during the block, as other jobs of a shared machine would."""
    # Ctrl-C reaches them too: whoever started them ends them.
    code = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True)\n"
    code += "while True: pass"
    spin = [sys.executable, "-I", "-S", "-c", code]
    busy = [subprocess.Popen(spin, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for each in busy:
            assert each.stdout
            each.stdout.readline()  # from now on it spins
        yield
    finally:
        for each in busy:
            each.kill()
            each.communicate()

"""Programs that need torch, in forks of a process that has imported it already.

Importing torch and its exporter takes a core longer than most such programs take for all the
rest, and the tests start hundreds. What is run here has its own process, folder, streams and exit
code, as any program has. A test of how a program begins, or of an environment, starts it as a
person does.
"""

import gc
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as programs have them; each is read once
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["torchlib_once"])
LIMIT = 300  # seconds; no program of a test takes a tenth of it


def run(
    program: Path | str,
    *arguments: object,
    cwd: Path = Path(),
    stdin: str = "",
    env: Mapping[str, str] = MappingProxyType({}),
) -> "subprocess.CompletedProcess[str]":
    """Run a Python program to its end, as `subprocess.run` would with all output captured.

    Raises:
        subprocess.TimeoutExpired: If it does not end.
    """
    command = [str(program), *map(str, arguments)]
    with TemporaryDirectory() as scratch:
        streams = [Path(scratch, name) for name in ("stdin", "stdout", "stderr")]
        streams[0].write_text(stdin)
        given = (command, cwd.resolve(), {**os.environ, **env}, streams)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # where the module lies
            forkserver.ensure_running()
        process = FORKS.Process(target=_become, args=given)
        process.start()
        process.join(LIMIT)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(command, LIMIT)
        said = [stream.read_text() for stream in streams[1:]]
    return subprocess.CompletedProcess(command, process.exitcode, *said)


def _become(command: list[str], cwd: Path, env: dict[str, str], streams: list[Path]) -> None:
    """Be that program: what it finds is what the interpreter would have made for it."""
    gc.freeze()  # nothing of what was imported is garbage, and looking for some copies its pages
    for number, stream in enumerate(streams):
        os.dup2(os.open(stream, os.O_RDWR | os.O_CREAT), number)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace", closefd=False)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = command
    installed = (sys.prefix, sys.base_prefix)
    sys.path = [str(Path(command[0]).parent), *(p for p in sys.path if p.startswith(installed))]
    runpy.run_path(command[0], run_name="__main__")

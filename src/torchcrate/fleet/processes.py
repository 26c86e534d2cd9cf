"""Each piece of work in a process of its own: if it crashes, that is its result and no more.

The processes are forked from this one, so that what it has imported is there at once. Fork
before this process has computed anything on several threads: a child has none of them.
"""

import contextlib
import ctypes
import faulthandler
import io
import multiprocessing
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

from torchcrate.errors import INTERRUPTED, CrateError, ExportError
from torchcrate.model.targets import is_installed, said, short, where

T = TypeVar("T")

_GRACE = 5.0  # seconds in which a process that is told to stop cleans up
_LOOK = 0.2  # seconds after which it is asked whether a process that says nothing lives
_DEATH = 1  # PR_SET_PDEATHSIG of prctl(2)
_FATAL = "Fatal Python error: "  # with it faulthandler begins
_FRAME = re.compile(r'^  File "(.+)", line (\d+) in ', re.M)  # as it writes each call
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Done(Generic[T]):
    """How one piece of work ended.

    Attributes:
        number: Its place in the order given, from 0.
        value: What it returned; None if it failed.
        error: Why it failed; None if it did not.
        printed: What it wrote on stdout and stderr, be it from C++.
        seconds: From its start to its end.
    """

    number: int
    value: T | None
    error: CrateError | None
    printed: str
    seconds: float


def each(work: Sequence[Callable[[], T]], at_once: int) -> Generator[Done[T], None, None]:
    """Do all of `work`, at most `at_once` pieces at a time; yield each as it ends.

    Close the iterator, with `contextlib.closing`, however its reader ends: what still runs is
    then interrupted, and killed if it does not stop within seconds.

    Args:
        work: What it returns is pickled. A CrateError that it raises is its error; anything
            else that it raises, or that ends its process, is an ExportError in one line.
        at_once: 1 or more.
    """
    waiting = deque(enumerate(work))
    running: list[_Running[T]] = []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                with _uninterrupted():
                    running.append(_Running(*waiting.popleft()))
            wait([one.answer for one in running], _LOOK)
            for one in [one for one in running if one.over]:
                done = one.done()
                running.remove(one)
                yield done
    finally:
        with _uninterrupted():
            _stop(running)


class _Running(Generic[T]):
    """A process that does one piece of work."""

    def __init__(self, number: int, work: Callable[[], T]) -> None:
        self.number = number
        self.started = time.monotonic()
        self.output = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
        self.answer, theirs = _FORK.Pipe(duplex=False)
        self.process: BaseProcess = _FORK.Process(
            target=_child, args=(work, theirs, self.output, os.getpid())
        )
        self.process.start()
        theirs.close()  # or its end would not be seen here

    @property
    def over(self) -> bool:
        return self.answer.poll() or not self.process.is_alive()

    def done(self) -> Done[T]:
        value, error, answered = None, None, False
        with contextlib.suppress(EOFError, OSError):  # killed before, or while, it answered
            if self.answer.poll():
                value, error = self.answer.recv()
                answered = True
        self.process.join()
        seconds = time.monotonic() - self.started
        self.output.seek(0)
        printed = self.output.read().decode(errors="replace")
        if not answered:
            printed, _, stack = printed.partition(_FATAL)
            error = ExportError(_ending(self.process.exitcode or 0, stack))
        self.close()
        return Done(self.number, value, error, printed, seconds)

    def close(self) -> None:
        self.answer.close()
        self.output.close()
        self.process.close()


def _stop(running: Sequence[_Running[T]]) -> None:
    for one in running:
        if one.process.is_alive():
            os.kill(one.process.pid or 0, signal.SIGINT)
    until = time.monotonic() + _GRACE
    for one in running:
        one.process.join(max(0.0, until - time.monotonic()))
        one.process.kill()
        one.process.join()
        one.close()


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block has ended."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _child(work: Callable[[], Any], answer: Connection, output: IO[bytes], parent: int) -> None:
    """Do the work, say what came of it, and end without what a whole program does in the end."""
    value, error = None, None
    try:
        signal.signal(signal.SIGINT, _interrupted)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        _stay_with(parent)
        _write_into(output)
        value = work()
    except CrateError as raised:
        error = raised
    except MemoryError:
        error = ExportError("there is not enough memory for it: do fewer at once, --jobs 1")
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    except BaseException as raised:  # SystemExit of the user's own code among them
        traceback.print_exc()
        error = ExportError(f"{said(raised)}{where(raised)}")
    answer.send((value, error))
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(0)


def _interrupted(number: int, frame: object) -> None:
    """Clean up, and let nobody interrupt that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


def _stay_with(parent: int) -> None:
    """Be interrupted when the parent dies, however it does, and be who dies if memory runs out."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)  # Linux
    if prctl:
        prctl(_DEATH, signal.SIGINT)
    if os.getppid() != parent:
        raise KeyboardInterrupt
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _write_into(output: IO[bytes]) -> None:
    """Let all that this process prints, be it from C++, go to a file, and the place of a crash."""
    for number in (1, 2):
        os.dup2(output.fileno(), number)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w", closefd=False), write_through=True)
        for number in (1, 2)
    )
    faulthandler.enable(2)


def _ending(code: int, stack: str) -> str:
    """Return how a process ended that gave no answer.

    Args:
        code: Its exit code, or the negative number of the signal that killed it.
        stack: What faulthandler saw, the last call first.
    """
    if code >= 0:
        return f"its process ended by itself, with exit code {code}"
    name = signal.Signals(-code).name
    if -code == signal.SIGKILL:
        return f"its process was killed by {name}: if memory ran out, do fewer at once, --jobs 1"
    ours = Path(__file__).parents[2]
    for file, line in _FRAME.findall(stack):
        if not is_installed(file) and ours not in Path(file).parents:
            return f"its process was killed by {name} at {short(file)}:{line}"
    return f"its process was killed by {name}"

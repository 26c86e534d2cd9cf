"""Whole processes, as a person starts them: measured from outside, start included."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from torchcrate.bench.race import Contestant, Sample
from torchcrate.errors import RunnerError

Command = list[str | Path]
"""A program and its arguments."""

_STOPWATCH = (sys.executable, "-I", "-S", str(Path(__file__).with_name("stopwatch.py")))


@dataclass(frozen=True)
class Ran:
    """What the stopwatch says of a program that ended; see there."""

    problem: str
    seconds: float = 0.0
    cpu: float = 0.0
    peak: int = 0
    first: float | None = None
    lines: int = 0
    last: str = ""


def run(command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> Ran:
    """Run `command` once, with the variables of `env` set beside those that are set here.

    Raises:
        RunnerError: If it cannot be started or fails.
    """
    words = [*(f"{name}={value}" for name, value in (env or {}).items()), "--"]
    done = subprocess.run(
        [*_STOPWATCH, *words, *map(str, command)], capture_output=True, text=True, check=True
    )
    ran = msgspec.json.decode(done.stdout, type=Ran)
    if ran.problem:
        raise RunnerError(f"it failed: {ran.problem.removeprefix('Error: ')}")
    return ran


def process(
    name: str,
    command: Sequence[str | Path],
    answers: int | None = None,
    most: int | None = None,
) -> Contestant:
    """Return a contestant that starts `command` each time, in `most` rounds if not in all.

    A turn fails if the program does, or if it does not print `answers` lines (any number if
    None).
    """

    def measure() -> Sample:
        ran = run(command)
        if answers is not None and ran.lines != answers:
            raise RunnerError(f"it printed {ran.lines} lines, not {answers}")
        return Sample((ran.seconds,), ran.cpu, ran.peak, ran.first)

    return Contestant(name, measure, most)


def inner(name: str, command: Sequence[str | Path]) -> Contestant:
    """Return a contestant that times itself: its last line is `{"seconds", "core_seconds"}`."""

    def measure() -> Sample:
        ran = run(command)
        try:
            said = json.loads(ran.last)
            return Sample((float(said["seconds"]),), float(said["core_seconds"]), ran.peak)
        except (ValueError, KeyError, TypeError) as error:
            raise RunnerError(f"it says no seconds: {ran.last[:80]}") from error

    return Contestant(name, measure)

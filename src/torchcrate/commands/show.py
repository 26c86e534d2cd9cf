"""What a command shows: results on stdout, all else on stderr."""

import itertools
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

import click

_WIDTH = 20  # columns of a bar
_PAUSE = 0.25  # seconds between two looks of a bar that only moves
_STDOUT = f"{__name__}.stdout"  # where a command's context keeps it


@contextmanager
def results_alone() -> Iterator[None]:
    """Let `say` alone print on stdout: what a network's own code prints goes to stderr."""
    click.get_current_context().meta[_STDOUT] = sys.stdout
    with redirect_stdout(sys.stderr):
        yield


def say(as_json: bool, value: Any, words: str) -> None:
    """Print a result: `value` as one JSON object where that was asked for, else `words`."""
    if as_json:
        import msgspec

        words = json.dumps(msgspec.to_builtins(value))
    stdout = click.get_current_context().meta[_STDOUT]
    if stdout:  # None where it was closed before
        click.echo(words, file=stdout)


def notice(line: str) -> None:
    """Show one line, say about a retry; a bar that stands there gives way."""
    click.echo(f"\r\033[K{line}" if sys.stderr.isatty() else line, err=True)


def words(command: str) -> Callable[[str], None]:
    """Return a function that shows each step of long work as one line."""
    return lambda step: click.echo(f"{command}: {step}", err=True)


@contextmanager
def steps(command: str) -> Iterator[Callable[[str], None]]:
    """Give a function that shows each step of long work: as one line, on a terminal as a bar.

    The bar moves while the step lasts, be it minutes, and tells the seconds so far.
    """
    if not sys.stderr.isatty():
        yield words(command)
        return
    shown = _Steps(command)
    try:
        yield shown.begin
    finally:
        shown.close()


class _Steps:
    """The step that is going on, on a line that a thread of its own keeps moving."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._step = ""
        self._start = time.monotonic()
        self._alone = threading.Lock()
        self._ended = threading.Event()
        self._mover = threading.Thread(target=self._move, daemon=True)
        self._mover.start()

    def begin(self, step: str) -> None:
        """Leave the line of the last step as it is, with its seconds, and begin the next."""
        with self._alone:
            self._leave()
            self._step, self._start = step, time.monotonic()
            self._show("")

    def close(self) -> None:
        """Leave the last line as it is."""
        self._ended.set()
        self._mover.join()
        self._leave()

    def _leave(self) -> None:
        if self._step:
            self._show("", f", {time.monotonic() - self._start:.0f} s\n")

    def _move(self) -> None:
        places = [*range(_WIDTH - 3), *range(_WIDTH - 3, 0, -1)]
        for turn in itertools.count():
            if self._ended.wait(_PAUSE):
                return
            at = places[turn % len(places)]
            bar = f"{'-' * at}###{'-' * (_WIDTH - 3 - at)}"
            with self._alone:
                if self._step:
                    self._show(f"[{bar}]  ", f"  {time.monotonic() - self._start:.0f} s")

    def _show(self, before: str, after: str = "") -> None:
        line = f"\r\033[K{before}{self._command}: {self._step}{after}"
        click.echo(line, nl=False, err=True)


Moved = Callable[[str, int, int], None]
"""Called with a file's name, the bytes moved so far and the bytes in all."""


@contextmanager
def transfer() -> Iterator[tuple[Moved, Callable[[int], None]]]:
    """Show the bytes of many files: one bar on a terminal, one line a file elsewhere.

    Gives what to call while bytes move, and what to call with the bytes of all files.
    """
    if not sys.stderr.isatty():
        yield _line, lambda total: None
        return
    shown = _Bar()
    try:
        yield shown.moved, shown.expect
    finally:
        shown.close()


def _line(file: str, done: int, total: int) -> None:
    if done >= total:
        click.echo(f"{file} {total} bytes", err=True)


class _Bar:
    """One bar for all files, with the bytes that moved and how many a second."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._total = 0
        self._done: dict[str, int] = {}
        self._start = time.monotonic()

    def expect(self, total: int) -> None:
        """Begin a bar of `total` bytes; called again where all begins anew."""
        self.close()
        self._total, self._done, self._start = total, {}, time.monotonic()
        self._bar = click.progressbar(
            length=total,
            file=sys.stderr,
            width=_WIDTH,
            show_eta=False,
            item_show_func=self._figures,
            update_min_steps=max(1, total // 200),
            bar_template="[%(bar)s]  %(info)s",
        )

    def moved(self, file: str, done: int, total: int) -> None:
        """Move on; back, if the other side began a file again."""
        if self._bar is None:  # nobody said how much there is in all
            click.echo(
                f"\r\033[K{file} {done / 1e6:.1f} of {total / 1e6:.1f} MB", nl=False, err=True
            )
            if done >= total:
                click.echo(err=True)
            return
        step = done - self._done.get(file, 0)
        self._done[file] = done
        self._bar.update(step, file)

    def close(self) -> None:
        """Leave the bar as it is, and the line after it free."""
        if self._bar is not None:
            self._bar.render_finish()
        self._bar = None

    def _figures(self, file: str | None) -> str:
        done = sum(self._done.values())
        rate = done / max(time.monotonic() - self._start, 1e-3)
        return (
            f"{done / 1e6:.1f} of {self._total / 1e6:.1f} MB  {rate / 1e6:.1f} MB/s  {file or ''}"
        )


@contextmanager
def bar(label: str, length: int) -> Iterator[Callable[[], None]]:
    """Show a bar while the block runs; give the function that moves it on by one."""
    with click.progressbar(length=length, label=label, file=sys.stderr) as shown:
        yield lambda: shown.update(1)

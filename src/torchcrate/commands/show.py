"""What a command shows: results on stdout, all else on stderr."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click


def say(as_json: bool, value: Any, words: str) -> None:
    """Print a result: `value` as one JSON object where that was asked for, else `words`."""
    if as_json:
        import msgspec

        click.echo(json.dumps(msgspec.to_builtins(value)))
    else:
        click.echo(words)


def notice(line: str) -> None:
    """Show one line, say about a retry; a bar that stands there gives way."""
    click.echo(f"\r\033[K{line}" if sys.stderr.isatty() else line, err=True)


def words(command: str) -> Callable[[str], None]:
    """Return a function that shows each step of long work as one line."""
    return lambda step: click.echo(f"{command}: {step}", err=True)


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
            width=20,
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

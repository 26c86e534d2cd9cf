"""What a command shows: results on stdout, all else on stderr."""

import json
import sys
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
    """Show one line, say about a retry."""
    click.echo(line, err=True)


def words(command: str) -> Callable[[str], None]:
    """Return a function that shows each step of long work as one line."""
    return lambda step: click.echo(f"{command}: {step}", err=True)


def transferred(file: str, done: int, total: int) -> None:
    """Show a file's bytes: a share that grows on a terminal, one line a file elsewhere."""
    if sys.stderr.isatty():
        share = 100 * done // total if total else 100
        click.echo(f"\r\033[K{file} {share} %", nl=done >= total, err=True)
    elif done >= total:
        click.echo(f"{file} {total} bytes", err=True)


@contextmanager
def bar(label: str, length: int) -> Iterator[Callable[[], None]]:
    """Show a bar while the block runs; give the function that moves it on by one."""
    with click.progressbar(length=length, label=label, file=sys.stderr) as shown:
        yield lambda: shown.update(1)

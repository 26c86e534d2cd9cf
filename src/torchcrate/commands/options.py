"""Options and arguments that several commands have in common."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchcrate.commands.show import notice
from torchcrate.errors import RunnerError

if TYPE_CHECKING:
    from torchcrate.release.cache import Cache
    from torchcrate.release.registry import Registry


class _Named(click.Path):
    """A path that was named: an empty word would mean the current folder, and never does here."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if value == "":
            self.fail("it is empty: name a path, '.' for the current folder", param, ctx)
        return super().convert(value, param, ctx)


class _Key(_Named):
    """A file with a key; where the key itself is given it is never shown, nor looked for."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if "-----BEGIN" in str(value) or "\n" in str(value):
            self.fail(
                "it is a key, not the path of a file that holds one: in GitLab, give the "
                "variable the type 'file'",
                param,
                ctx,
            )
        return super().convert(value, param, ctx)


PATH = _Named(path_type=Path)
FOLDER = _Named(file_okay=False, path_type=Path)
SEED = click.IntRange(0, 2**63 - 1)  # what torch takes
FILE = _Named(dir_okay=False, path_type=Path)
_KEY = _Key(dir_okay=False, path_type=Path)
crate_argument = click.argument("crate", type=FOLDER, default=Path("build/crate"))
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
data_dir_option = click.option(
    "--data-dir",
    type=FOLDER,
    envvar="MNIST_DIR",
    show_envvar=True,
    help="MNIST in torchvision's layout, the four files in MNIST/raw.",
)


def _limits(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, float]:
    """Return limits by runtime, of texts `RUNTIME=LIMIT`."""
    found = {}
    for text in given:
        runtime, _, limit = text.partition("=")
        try:
            found[runtime] = float(limit)
        except ValueError as error:
            raise click.BadParameter(f"{text!r} is not RUNTIME=LIMIT, say onnx=1e-4") from error
    return found


tolerance_option = click.option(
    "--tolerance",
    "tolerances",
    multiple=True,
    metavar="RUNTIME=LIMIT",
    callback=_limits,
    help="How far a runtime may be from eager, instead of what the spec says; may be repeated.",
)


def _not_empty(ctx: click.Context, param: click.Parameter, key: Path | None) -> Path | None:
    """Refuse an empty variable: a job that lacks the secret has one, and nobody meant "no key"."""
    if key is None and os.environ.get(str(param.envvar)) == "":
        raise click.BadParameter(f"{param.envvar} is empty: name the key's file there, or unset it")
    return key


sign_key_option = click.option(
    "--sign-key",
    type=_KEY,
    callback=_not_empty,
    envvar="TORCHCRATE_SIGN_KEY",
    show_envvar=True,
    help="EC private key, PEM; its password, if any, in TORCHCRATE_SIGN_PASSWORD.",
)


def verify_key_option(help: str, *, required: bool = False) -> Callable[[Any], Any]:
    """Return the option that names the public key which signatures are held to."""
    return click.option(
        "--verify-key",
        type=_KEY,
        callback=_not_empty,
        envvar="TORCHCRATE_VERIFY_KEY",
        show_envvar=True,
        required=required,
        help=help,
    )


def registry_options(flag: str) -> Callable[[Any], Any]:
    """Return the options that name a registry, `--to` or `--from`, and how to speak with it."""
    named = click.option(
        flag,
        "address",
        metavar="REGISTRY",
        envvar="TORCHCRATE_REGISTRY",
        show_envvar=True,
        help="A folder, or the URL of a GitLab project; in a GitLab job its own project.",
    )
    http = click.option(
        "--allow-http", is_flag=True, help="Send a token unencrypted to another machine."
    )
    return lambda command: named(http(command))


def cache_options(command: Any) -> Any:
    """Add the options that say where pulled bytes are kept."""
    folder = click.option(
        "--cache",
        type=_Named(file_okay=False, readable=False, path_type=Path),
        envvar="TORCHCRATE_CACHE",
        show_envvar=True,
        help="Keeps what was pulled over the network.  [default: ~/.cache/torchcrate]",
    )
    off = click.option("--no-cache", is_flag=True, help="Keep nothing, and take nothing from it.")
    return folder(off(command))


def cache_of(address: str | None, folder: Path | None, off: bool) -> "Cache | None":
    """Return the cache for a registry; a folder is read as quickly without one."""
    from torchcrate.release.cache import Cache

    if off or (address is not None and "://" not in address):
        return None
    if folder is None:
        home = os.environ.get("XDG_CACHE_HOME")
        try:
            folder = (Path(home) if home else Path("~/.cache").expanduser()) / "torchcrate"
        except RuntimeError:  # a user without a home, as containers have them
            notice("cache: there is no home directory, going on without it; --cache names a folder")
            return None
    return Cache(folder, notice)


@contextmanager
def opened(
    address: str | None, allow_http: bool, *, rehearse: bool = False
) -> "Iterator[Registry]":
    """Give the registry that `registry_options` named, with each retry as a visible line."""
    from torchcrate.release.registry import open_registry

    over = False

    def told(line: str) -> None:
        if not over:  # a thread that was not waited for, say after Ctrl-C, has nobody to tell
            notice(line)

    with open_registry(
        address,
        os.environ,
        allow_http=allow_http,
        on_notice=told,
        rehearse=told if rehearse else None,
    ) as registry:
        try:
            yield registry
        finally:
            over = True


@contextmanager
def needing(extra: str) -> Iterator[None]:
    """Turn imports that fail for lack of an extra into one line.

    Raises:
        RunnerError: If a package is missing; says what to install.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise RunnerError(
            f"a package is missing, {error.name}: pip install 'torchcrate[{extra}]'"
        ) from error

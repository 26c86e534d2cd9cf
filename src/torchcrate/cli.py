"""The front door: a command reads options, makes one library call and prints."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchcrate import errors
from torchcrate.errors import CrateError

if TYPE_CHECKING:
    from torchcrate.release.registry import Registry


class Commands(click.Group):
    """The one place where a CrateError becomes a message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; show a CrateError the way click shows its own."""
        try:
            return super().invoke(ctx)
        except CrateError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Error: interrupted; nothing half-written was left", err=True)
            ctx.exit(errors.INTERRUPTED)


FOLDER = click.Path(file_okay=False, path_type=Path)
SEED = click.IntRange(0, 2**63 - 1)  # what torch takes
FILE = click.Path(dir_okay=False, path_type=Path)
crate_argument = click.argument("crate", type=FOLDER, default=Path("build/crate"))
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
data_dir_option = click.option(
    "--data-dir",
    type=FOLDER,
    envvar="MNIST_DIR",
    show_envvar=True,
    help="MNIST in torchvision's layout, the four files in MNIST/raw.",
)


def registry_options(flag: str) -> Callable[[Any], Any]:
    """Return the options that name a registry, `--to` or `--from`, and how to speak with it."""
    named = click.option(
        flag,
        "address",
        metavar="REGISTRY",
        help="A folder, or the URL of a GitLab project; in a GitLab job its own project.",
    )
    http = click.option(
        "--allow-http", is_flag=True, help="Send a token unencrypted to another machine."
    )
    return lambda command: named(http(command))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="torchcrate")
def main() -> None:
    """Turn a trained PyTorch network into a verified package for Python and C++.

    Example: torchcrate export && torchcrate verify && torchcrate publish --to registry
    """
    # Threads that wait by spinning make a busy machine five times slower; torch, and every
    # program that is started from here, reads this once.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


@main.command()
@data_dir_option
@click.option("--out", type=FILE, default=Path("build/net.pth"), show_default=True)
@click.option(
    "--seed",
    type=SEED,
    default=1,
    show_default=True,
    help="Of everything random.",
)
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training images.")
@click.option("--dropout", type=click.FloatRange(0, 1, max_open=True), help="Of fc1's outputs.")
@click.option("--dropout2d", type=click.FloatRange(0, 1, max_open=True), help="Of conv2's maps.")
def train(data_dir: Path | None, out: Path, **chosen: Any) -> None:
    """Train the default network on MNIST and write a checkpoint with its record.

    Example: torchcrate train --data-dir data --out build/net.pth
    """
    from torchcrate.model import train as training

    numbers = {name: value for name, value in chosen.items() if value is not None}
    settings = training.Settings(**numbers)

    def told(epoch: training.Epoch) -> None:
        click.echo(
            f"\repoch {epoch.number:2}: loss {epoch.loss:.4f}, "
            f"validation {100 * epoch.accuracy:.2f} %, {epoch.seconds:.0f} s",
            err=True,
        )

    with _bar("training", training.steps(settings)) as advance:
        record = training.train(data_dir or Path("data"), out, settings, advance, told)
    click.echo(f"{out}: {100 * record.accuracy:.2f} % of the 10,000 test images")


@main.command()
@click.option("--out", type=FOLDER, default=Path("build/crate"), show_default=True)
@click.option("--checkpoint", type=FILE, help="Weights of the default network, a state_dict.")
@click.option("--name", help="Of the crate.  [default: the network's]")
@click.option("--version", help="Of the crate.  [default: VERSION in the current folder]")
@as_json
def export(
    out: Path, checkpoint: Path | None, name: str | None, version: str | None, as_json: bool
) -> None:
    """Write a crate: models, golden vectors, programs and instructions; not yet sealed.

    Example: torchcrate export --out build/crate
    """
    from torchcrate import road
    from torchcrate.model.spec import MNIST
    from torchcrate.release import origin

    version = version or origin.version_of(Path.cwd())
    commit = origin.commit_of(Path.cwd())
    draft = road.export(
        MNIST, checkpoint, out, name or MNIST.name, version, commit, _words("export")
    )
    _say(as_json, draft, f"{out}: {draft.name} {draft.version}, {len(draft.files)} files")


@main.command()
@crate_argument
@data_dir_option
@click.option(
    "--build-dir",
    type=FOLDER,
    default=Path("build/cpp"),
    show_default=True,
    help="Where the C++ program is built; made anew when the crate's sources changed.",
)
@as_json
def verify(crate: Path, data_dir: Path | None, build_dir: Path, as_json: bool) -> None:
    """Hold the crate's four programs against eager; seal the crate if all answer alike.

    Example: torchcrate verify build/crate
    """
    from torchcrate import road
    from torchcrate.model.spec import MNIST

    manifest = road.verify(MNIST, crate, build_dir, data_dir, _words("verify"))
    _say(as_json, manifest, road.parity_table(manifest.parity))


@main.command()
@crate_argument
@registry_options("--to")
@as_json
def publish(crate: Path, address: str | None, allow_http: bool, as_json: bool) -> None:
    """Publish a sealed crate; readers see the whole version or none of it.

    Example: torchcrate publish build/crate --to https://gitlab.example.com/group/project
    """
    from torchcrate.release.publish import publish as published

    with _opened(address, allow_http) as registry:
        done = published(crate, registry, _transferred)
    what = "is already there, the same content" if done.already_there else "published"
    _say(as_json, done, f"{done.name} {done.version} {what}: {done.where}")


@main.command()
@click.argument("reference", metavar="NAME@VERSION")
@registry_options("--from")
@click.option("--out", type=FOLDER, help="Where the crate appears.  [default: NAME]")
@click.option("--pre", is_flag=True, help="Let NAME@latest be a pre-release.")
@as_json
def pull(
    reference: str,
    address: str | None,
    allow_http: bool,
    out: Path | None,
    pre: bool,
    as_json: bool,
) -> None:
    """Fetch a version, check every byte, then let it appear; NAME@latest follows SemVer.

    Example: torchcrate pull mnist-net@latest --from build/registry --out build/pulled
    """
    from torchcrate.release.pull import pull as pulled

    out = out or Path(reference.partition("@")[0])
    with _opened(address, allow_http) as registry:
        manifest = pulled(reference, registry, out, _transferred, pre=pre)
    _say(
        as_json, manifest, f"{out}: {manifest.name} {manifest.version}, {len(manifest.files)} files"
    )


@main.command()
@click.argument("name")
@registry_options("--from")
@as_json
def versions(name: str, address: str | None, allow_http: bool, as_json: bool) -> None:
    """List the published versions of a crate, the oldest first.

    Example: torchcrate versions mnist-net --from build/registry
    """
    from torchcrate.release.manifest import check_name

    with _opened(address, allow_http) as registry:
        found = registry.versions(check_name(name))
        _say(as_json, found, "\n".join(found) or f"{registry.where} has no version of {name}")


@main.command()
@click.argument("name")
@registry_options("--from")
@as_json
def number(name: str, address: str | None, allow_http: bool, as_json: bool) -> None:
    """Print the version that this GitLab pipeline publishes; VERSION holds the next release.

    Example: torchcrate number mnist-net
    """
    from torchcrate.release import numbering, origin
    from torchcrate.release.manifest import check_name

    with _opened(address, allow_http) as registry:
        published = registry.versions(check_name(name))
    pipeline = numbering.Pipeline.from_env(os.environ)
    version = numbering.number(pipeline, origin.version_of(Path.cwd()), published)
    _say(as_json, version, version)


@main.command()
@data_dir_option
def demo(data_dir: Path | None) -> None:
    """Go the whole road once under build/, and show what every runner said.

    Example: torchcrate demo
    """
    from torchcrate import road
    from torchcrate.model.spec import MNIST
    from torchcrate.release import origin

    here = Path.cwd()
    version, commit = origin.version_of(here), origin.commit_of(here)
    shown = road.demo(MNIST, Path("build"), data_dir, version, commit, _words("demo"))
    click.echo(shown)


def _say(as_json: bool, value: Any, words: str) -> None:
    if as_json:
        import msgspec

        click.echo(json.dumps(msgspec.to_builtins(value)))
    else:
        click.echo(words)


@contextmanager
def _opened(address: str | None, allow_http: bool) -> "Iterator[Registry]":
    from torchcrate.release.registry import open_registry

    with open_registry(address, os.environ, allow_http=allow_http, on_notice=_notice) as registry:
        yield registry


def _notice(line: str) -> None:
    click.echo(line, err=True)


def _words(command: str) -> Callable[[str], None]:
    """Return a function that shows each step of long work as one line on stderr."""
    return lambda step: click.echo(f"{command}: {step}", err=True)


def _transferred(file: str, done: int, total: int) -> None:
    """Show a file's bytes: a share that grows on a terminal, one line a file elsewhere."""
    if sys.stderr.isatty():
        share = 100 * done // total if total else 100
        click.echo(f"\r\033[K{file} {share} %", nl=done >= total, err=True)
    elif done >= total:
        click.echo(f"{file} {total} bytes", err=True)


@contextmanager
def _bar(label: str, length: int) -> Iterator[Callable[[], None]]:
    with click.progressbar(length=length, label=label, file=sys.stderr) as bar:
        yield lambda: bar.update(1)

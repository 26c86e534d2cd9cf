"""Commands that make a crate: train, export, verify, and demo, which goes the whole road."""

import os
from pathlib import Path
from typing import Any

import click

from torchcrate.commands.options import (
    FILE,
    FOLDER,
    SEED,
    as_json,
    crate_argument,
    data_dir_option,
    needing,
)
from torchcrate.commands.show import bar, say, words


@click.command()
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
    with needing("train"):
        from torchcrate.model import train as training

    numbers = {name: value for name, value in chosen.items() if value is not None}
    settings = training.Settings(**numbers)

    def told(epoch: training.Epoch) -> None:
        click.echo(
            f"\repoch {epoch.number:2}: loss {epoch.loss:.4f}, "
            f"validation {100 * epoch.accuracy:.2f} %, {epoch.seconds:.0f} s",
            err=True,
        )

    with bar("training", training.steps(settings)) as advance:
        record = training.train(data_dir or Path("data"), out, settings, advance, told)
    click.echo(f"{out}: {100 * record.accuracy:.2f} % of the 10,000 test images")


@click.command()
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
    with needing("export"):
        from torchcrate import road
    from torchcrate.model.spec import MNIST
    from torchcrate.release import origin
    from torchcrate.release.trust.provenance import Origin

    version = version or origin.version_of(Path.cwd())
    where = Origin.from_env(os.environ, origin.commit_of(Path.cwd()))
    draft = road.export(MNIST, checkpoint, out, name or MNIST.name, version, where, words("export"))
    say(as_json, draft, f"{out}: {draft.name} {draft.version}, {len(draft.files)} files")


@click.command()
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
    with needing("export"):
        from torchcrate import road
    from torchcrate.model.spec import MNIST

    manifest = road.verify(MNIST, crate, build_dir, data_dir, words("verify"))
    say(as_json, manifest, road.parity_table(manifest.parity))


@click.command()
@data_dir_option
def demo(data_dir: Path | None) -> None:
    """Go the whole road once under build/, and show what every runner said.

    Example: torchcrate demo
    """
    with needing("export"):
        from torchcrate import road
    from torchcrate.model.spec import MNIST
    from torchcrate.release import origin
    from torchcrate.release.trust.provenance import Origin

    here = Path.cwd()
    version, where = origin.version_of(here), Origin.from_env(os.environ, origin.commit_of(here))
    shown = road.demo(MNIST, Path("build"), data_dir, version, where, words("demo"))
    click.echo(shown)

"""Commands that make a crate: train, export, verify, and demo, which goes the whole road."""

import os
from pathlib import Path
from typing import Any

import click

from torchcrate.commands.fleet import all_options, export_fleet
from torchcrate.commands.options import (
    FILE,
    FOLDER,
    SEED,
    as_json,
    crate_argument,
    data_dir_option,
    needing,
    tolerance_option,
)
from torchcrate.commands.show import bar, notice, say, steps
from torchcrate.commands.target import (
    DEFAULT,
    INPUT,
    importable_here,
    spec_named,
    target_argument,
)


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
    say(False, record, f"{out}: {100 * record.accuracy:.2f} % of the 10,000 test images")


@click.command()
@target_argument
@click.option("--out", type=FOLDER, help="[default: build/crate; with --all build/crates/NAME]")
@click.option("--input", "inputs", multiple=True, metavar="NAME:DTYPE[AXES]", help=INPUT)
@click.option("--checkpoint", type=FILE, help="Weights: .pth or .safetensors, a state_dict.")
@click.option("--key", help="Where in a training checkpoint the state_dict lies.")
@click.option("--name", help="Of the crate.  [default: the network's]")
@click.option(
    "--version", help="Of the crate.  [default: VERSION or pyproject.toml in this folder]"
)
@tolerance_option
@all_options
@as_json
def export(
    target: str | None,
    out: Path | None,
    inputs: tuple[str, ...],
    checkpoint: Path | None,
    key: str | None,
    name: str | None,
    version: str | None,
    fleet: str | None,
    jobs: int | None,
    tolerances: dict[str, float],
    as_json: bool,
) -> None:
    """Write a crate: models, golden vectors, programs and instructions; not yet sealed.

    TARGET is package.module:SPEC, or package.module:Network with --input. Without one it is
    the [tool.torchcrate] table of ./pyproject.toml, or else the default network. --all FLEET
    writes many crates at once, and says in the end what became of each.

    Example: torchcrate export mypkg.net:SPEC --out build/crate
    """
    from torchcrate.release import origin
    from torchcrate.release.trust.provenance import Origin

    version = version or origin.version_of(Path.cwd())
    where = Origin.from_env(os.environ, origin.commit_of(Path.cwd()))
    if fleet is not None:
        export_fleet(fleet, out or Path("build/crates"), version, where, jobs, as_json)
        return
    with needing("export"):
        from torchcrate import road
    out = out or Path("build/crate")
    target, spec = spec_named(target, inputs, checkpoint, key, name)
    spec = spec.tolerating(tolerances)
    with steps("export") as step:
        draft, findings = road.export(spec, target, out, version, where, step)
    for line in road.findings_lines(findings):
        notice(line)
    say(as_json, draft, f"{out}: {draft.name} {draft.version}, {len(draft.files)} files")


@click.command()
@crate_argument
@data_dir_option
@click.option("--spec", "target", metavar="TARGET", help="Instead of what export wrote down.")
@click.option(
    "--build-dir",
    type=FOLDER,
    default=Path("build/cpp"),
    show_default=True,
    help="Where the C++ program is built; made anew when the crate's sources changed.",
)
@tolerance_option
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    help="cpu: ask there alone. cuda: there too, and fail without one.  [default: what is here]",
)
@as_json
def verify(
    crate: Path,
    data_dir: Path | None,
    target: str | None,
    build_dir: Path,
    tolerances: dict[str, float],
    device: str | None,
    as_json: bool,
) -> None:
    """Hold the crate's programs against eager; seal the crate if all answer alike.

    Example: torchcrate verify build/crate
    """
    with needing("export"):
        from torchcrate import road
    importable_here()
    spec = spec_named(target)[1] if target else None
    with steps("verify") as step:
        manifest = road.verify(spec, crate, build_dir, data_dir, step, tolerances, device or "")
    say(as_json, manifest, road.parity_table(manifest.parity))


@click.command()
@data_dir_option
def demo(data_dir: Path | None) -> None:
    """Go the whole road once under build/, and show what every runner said.

    Example: torchcrate demo
    """
    with needing("export"):
        from torchcrate import road
    from torchcrate.release import origin
    from torchcrate.release.trust.provenance import Origin

    here = Path.cwd()
    version, where = origin.version_of(here), Origin.from_env(os.environ, origin.commit_of(here))
    target, spec = spec_named(DEFAULT)
    with steps("demo") as step:
        shown = road.demo(spec, target, Path("build"), data_dir, version, where, step)
    say(False, shown, shown)

"""The command that makes variants of a crate's model.onnx with fewer bits: optimise."""

from pathlib import Path

import click

from torchcrate.commands.options import (
    as_json,
    crate_argument,
    data_dir_option,
    needing,
)
from torchcrate.commands.show import say, steps
from torchcrate.commands.target import importable_here, spec_named


@click.command()
@crate_argument
@data_dir_option
@click.option("--spec", "target", metavar="TARGET", help="Instead of what export wrote down.")
@click.option(
    "--keep",
    type=click.Choice(["int8", "fp16"]),
    multiple=True,
    help="Ship it though it is not faster here, if it is as good; may be repeated.",
)
@click.option(
    "--difference",
    type=click.FloatRange(0, min_open=True),
    default=0.02,
    show_default=True,
    help="The largest to eager's numbers, of a network without labels.",
)
@click.option(
    "--rounds", type=click.IntRange(2), default=9, show_default=True, help="Of each race."
)
@as_json
def optimise(
    crate: Path,
    data_dir: Path | None,
    target: str | None,
    keep: tuple[str, ...],
    difference: float,
    rounds: int,
    as_json: bool,
) -> None:
    """Put model.int8.onnx and model.fp16.onnx into a crate, each if it is faster and as good.

    As good is: at most 0.1 points of accuracy lost on the data's right labels; where none are
    known, at most 0.1 % of eager's labels changed; without labels, --difference. Faster
    is: in three rounds of four, one entry at a time and many at once. Verify the crate afterwards.

    Example: torchcrate optimise build/crate --data-dir data
    """
    with needing("export"):
        from torchcrate import road
        from torchcrate.variants.words import shown
    importable_here()
    spec = spec_named(target)[1] if target else None
    with steps("optimise") as step:
        found = road.optimise(spec, crate, data_dir, keep, difference, rounds, step)
    say(as_json, found, shown(found))

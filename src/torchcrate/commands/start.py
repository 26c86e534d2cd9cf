"""Commands for somebody else's repository: init."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchcrate.commands.options import FILE, as_json
from torchcrate.commands.show import notice, say
from torchcrate.errors import UsageError

if TYPE_CHECKING:
    from torchcrate.start.networks import Network


def _component() -> str:
    """Return the address of the component that goes with this torchcrate."""
    from importlib.metadata import version

    # The whole tag: parts of a version are understood for components of GitLab's catalog alone.
    return f"$CI_SERVER_FQDN/torchcrate/torchcrate/release@v{version('torchcrate')}"


@click.command()
@click.option("--network", metavar="MODULE:CLASS", help="The network.  [default: the only one]")
@click.option("--input", "inputs", multiple=True, metavar="NAME:DTYPE[AXES]", help="What it takes.")
@click.option(
    "--argument",
    "arguments",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of building it, as JSON or a word; may be repeated.",
)
@click.option("--checkpoint", type=FILE, help="Its weights.  [default: the only file of weights]")
@click.option("--key", help="Where in a training checkpoint the state_dict lies.")
@click.option("--name", help="Of the crate.  [default: the project's, or the folder's]")
@click.option(
    "--component",
    default=_component,
    show_default="torchcrate/torchcrate/release on your GitLab",
    help="Address of the CI/CD component.",
)
@click.option("--dry-run", is_flag=True, help="Show every change, and make none.")
@as_json
def init(
    network: str | None,
    inputs: tuple[str, ...],
    arguments: tuple[str, ...],
    checkpoint: Path | None,
    name: str | None,
    dry_run: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Prepare this repository to publish its network as a crate.

    Adds a description to pyproject.toml, a pipeline, a test and a section of the README, and
    overwrites nothing. What it does not find in the sources it asks for, or takes from options.

    Example: torchcrate init --dry-run
    """
    from torchcrate.release.manifest import check_name
    from torchcrate.release.origin import project_of
    from torchcrate.start import plan

    here = Path.cwd()
    if project := project_of(here):
        given["project"] = project
    if stands := plan.described(here):
        choice = plan.Choice(stands, "", (), **given)
    else:
        chosen = _network(here, network)
        choice = plan.Choice(
            check_name(name or plan.project_name(here)),
            chosen.target,
            _inputs(chosen, inputs),
            arguments=_arguments(chosen, arguments),
            checkpoint=checkpoint or _checkpoint(here),
            **given,
        )
    changes = plan.plan(here, choice)
    if not dry_run:
        plan.carry_out(here, changes)
    lines = [f"{change.file}: {change.words}" for change in changes]
    lines += [change.diff() for change in changes if dry_run and change.diff()]
    for change in changes:
        if change.by_hand:
            lines.append(f"\nadd to {change.file}, and give it the stages:\n\n{change.by_hand}")
    say(as_json, changes, "\n".join(lines))


def _network(folder: Path, target: str | None) -> "Network":
    from torchcrate.start.networks import networks

    found = {one.target: one for one in networks(folder)}
    if target is None and len(found) == 1:
        target = next(iter(found))
        notice(f"network: {target}")
    if target is None and found:
        target = _asked("which network", "--network", list(found))
    if target not in found:
        raise UsageError(
            f"{target or folder} is no network that the sources here show: "
            f"name one with --network, of {', '.join(found) or 'classes derived from nn.Module'}"
        )
    return found[target]


def _inputs(network: "Network", given: tuple[str, ...]) -> tuple[str, ...]:
    from torchcrate.model.contract import tensor
    from torchcrate.start.inputs import inputs

    said = {tensor(text).name: text for text in given}
    found = []
    for one in inputs(network):
        text = said.pop(one.name, "") or one.text
        if text == one.text and text:
            notice(f"input: {text}, from {one.reason}")
        if not text:
            example = f"{one.name}:float32[batch,8]"
            text = _asked(f"input {one.name} of forward, say {example}", "--input")
        tensor(text)
        found.append(text)
    return (*found, *said.values())


def _arguments(network: "Network", given: tuple[str, ...]) -> dict[str, Any]:
    found = dict(text.partition("=")[::2] for text in given)
    for name in network.required:
        if name not in found:
            found[name] = _asked(f"argument {name} of {network.name}", "--argument")
    return {name: _value(text) for name, text in found.items()}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _checkpoint(folder: Path) -> Path | None:
    from torchcrate.start.networks import checkpoints

    found = checkpoints(folder)
    if len(found) == 1:
        notice(f"checkpoint: {found[0]}")
    if len(found) < 2:
        return found[0] if found else None
    return Path(_asked("which checkpoint", "--checkpoint", list(map(str, found))))


def _asked(question: str, option: str, choices: list[str] | None = None) -> str:
    """Return what the person at the terminal answers.

    Raises:
        UsageError: If there is no terminal; names the option that answers.
    """
    if not sys.stdin.isatty():
        of = f", of {', '.join(choices)}" if choices else ""
        raise UsageError(f"{question}: nobody is there to ask, so say it with {option}{of}")
    kind = click.Choice(choices) if choices else None
    return str(click.prompt(question, type=kind, err=True))

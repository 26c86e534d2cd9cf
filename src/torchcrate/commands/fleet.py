"""Many networks at once: `export --all`, and `fleet`, which shows them or makes them CI's jobs."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchcrate.commands.options import as_json, needing
from torchcrate.commands.show import notice, say
from torchcrate.commands.target import importable_here
from torchcrate.cores import cores
from torchcrate.errors import UsageError
from torchcrate.table import table

if TYPE_CHECKING:
    from torchcrate.release.trust.provenance import Origin

jobs_option = click.option(
    "--jobs",
    type=click.IntRange(1),
    help="How many networks at once, the cores shared out among them.  [default: the cores]",
)


def all_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that export a fleet instead of one network."""
    fleet = click.option(
        "--all",
        "fleet",
        metavar="FLEET",
        help="A file with one package.module:SPEC a line, or a package with ModelSpecs in it.",
    )
    return fleet(jobs_option(command))


def export_fleet(
    fleet: str, out: Path, version: str, where: "Origin", jobs: int | None, as_json: bool
) -> None:
    """Write the crates of a fleet into `out`, and end with a table of what became of each.

    Raises:
        UsageError: If the list is none, or an argument speaks of one network.
        CrateError: If any network failed, of the first one's class.
    """
    given = click.get_current_context().params
    for alone in ("target", "inputs", "checkpoint", "key", "name"):
        if given[alone]:
            raise UsageError(f"--all exports a list, {alone} is said of one network: name either")
    from torchcrate.fleet.members import members
    from torchcrate.release.manifest import check_version

    check_version(version)
    with needing("export"):  # before the first process is forked, or each imports it anew
        from torchcrate.fleet import export
    importable_here()
    jobs = jobs or cores()
    found = members(fleet, jobs)
    told = 0

    def on_row(row: export.Row) -> None:
        nonlocal told
        told += 1
        notice(f"export: {told}/{len(found)} {row.words()}")

    rows = export.export_all(found, out, version, where, jobs, notice, on_row)
    say(as_json, {"networks": rows}, export.shown(rows))
    failure = export.failure(rows)
    if failure:
        raise failure


@click.command("fleet")
@click.argument("named", metavar="FLEET")
@click.option("--gitlab-ci", is_flag=True, help="A child pipeline with one job a network, as YAML.")
@jobs_option
@as_json
def fleet(named: str, gitlab_ci: bool, jobs: int | None, as_json: bool) -> None:
    """Show the networks of a fleet, or write them as the jobs of a GitLab pipeline.

    FLEET is a file with one package.module:SPEC a line, or a package with ModelSpecs in it.

    Example: torchcrate fleet fleet.txt --gitlab-ci > fleet.yml
    """
    from torchcrate.fleet.members import members
    from torchcrate.fleet.pipeline import pipeline

    with suppress(ModuleNotFoundError):  # a spec alone needs none; what it is of mostly does
        import torch  # noqa: F401  # once, and not in each process
    importable_here()
    found = members(named, jobs or cores())
    for one in found:
        if one.fault:
            notice(f"{one.target}: {one.fault}")
    rows = [("name", "target"), *((one.name, one.target) for one in found)]
    value = [
        {"name": one.name, "target": one.target, "fault": str(one.fault or "")} for one in found
    ]
    say(as_json, {"networks": value}, pipeline(found).rstrip() if gitlab_ci else table(rows))

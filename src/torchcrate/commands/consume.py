"""Commands for who has pulled a crate: doctor."""

from pathlib import Path

import click

from torchcrate.commands.options import FOLDER, as_json
from torchcrate.commands.show import say


@click.command()
@click.argument("crate", metavar="DIR", type=FOLDER)
@as_json
def doctor(crate: Path, as_json: bool) -> None:
    """Say which runtimes here can run a pulled crate, and what to install for the others.

    Example: torchcrate doctor build/pulled
    """
    from torchcrate.errors import RunnerError
    from torchcrate.release.doctor import diagnose

    findings = diagnose(crate)
    lines = []
    for finding in findings:
        versions = ", ".join(f"{name} {version}" for name, version in finding.found.items())
        state = "ready" if finding.ready else "not yet"
        lines.append(f"{finding.format:11}  {state:7}  {versions}".rstrip())
        lines += [f"{'':13}{line}" for line in finding.missing]
        lines += [f"{'':13}do: {finding.remedy}"] if finding.remedy else []
    say(as_json, findings, "\n".join(lines))
    if not any(finding.ready for finding in findings):
        raise RunnerError(f"nothing here can run {crate}: install what is listed for one of them")

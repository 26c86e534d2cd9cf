"""Commands for who wonders: doctor, of a network before its export or of a pulled crate."""

from pathlib import Path

import click

from torchcrate.commands.options import FILE, as_json, needing
from torchcrate.commands.show import say
from torchcrate.commands.target import INPUT, spec_named


@click.command()
@click.argument("target", metavar="TARGET|DIR", required=False)
@click.option("--input", "inputs", multiple=True, metavar="NAME:DTYPE[AXES]", help=INPUT)
@click.option("--checkpoint", type=FILE, help="Weights: .pth or .safetensors, a state_dict.")
@click.option("--key", help="Where in a training checkpoint the state_dict lies.")
@click.option("--quick", is_flag=True, help="Of a network: without trying ONNX.")
@click.option("--verbose", is_flag=True, help="Of a network: all that torch says of a format.")
@click.option("--weights", is_flag=True, help="Of a crate: hold its weights to model.pth.")
@as_json
def doctor(
    target: str | None,
    inputs: tuple[str, ...],
    checkpoint: Path | None,
    key: str | None,
    quick: bool,
    verbose: bool,
    weights: bool,
    as_json: bool,
) -> None:
    """Say why a format cannot hold a network, where and what to change; writes nothing.

    TARGET is package.module:SPEC, or package.module:Network with --input; without one it is
    the [tool.torchcrate] table of ./pyproject.toml. Of DIR, a pulled crate, it says which
    runtimes here can run it, and what to install for the others.

    Example: torchcrate doctor mypkg.net:SPEC
    """
    if target and (":" not in target or Path(target).is_dir()):
        of_crate(Path(target), weights, as_json)
        return
    from torchcrate.errors import ExportError, UsageError
    from torchcrate.model.project import spec_here
    from torchcrate.release.crate import program_names

    if target == "" or (target is None and spec_here(Path.cwd()) is None):
        found = "it is empty" if target == "" else "nothing is named"
        raise UsageError(f"{found}: name package.module:SPEC, or the folder of a crate")
    with needing("export"):
        from torchcrate.export.doctor.examine import examine
    named, spec = spec_named(target, inputs, checkpoint, key)
    taken = program_names(spec)
    diagnosis = examine(spec, named, taken=taken, quick=quick, verbose=verbose)
    lines = [line for check in diagnosis.checks for line in (check.words(), check.detail) if line]
    say(as_json, diagnosis, "\n".join(lines))
    if diagnosis.faults:
        raise ExportError(f"{spec.name}: a fault in {', '.join(diagnosis.faults)}, see above")


def of_crate(crate: Path, weights: bool, as_json: bool) -> None:
    """Show which runtimes can run a crate, or whether its models hold the same weights.

    Raises:
        RunnerError: If none can.
        ParityError: If a weight is off.
    """
    from torchcrate.errors import ParityError, RunnerError
    from torchcrate.release.doctor import diagnose

    if weights:
        with needing("export"):
            from torchcrate.export.doctor.damage import damaged
        checks = damaged(crate)
        say(as_json, checks, "\n".join(check.words() for check in checks))
        off = [check.name for check in checks if check.state == "fault"]
        if off:
            raise ParityError(f"{', '.join(off)} of {crate} is damaged: see above")
        return
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

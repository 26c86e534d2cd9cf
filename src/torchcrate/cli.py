"""The front door: it joins the commands, and is the one place where an error becomes an exit."""

import atexit
import errno
import gc
import os
import sys
from typing import Any, NoReturn

import click

from torchcrate import errors
from torchcrate.commands import (
    bench,
    build,
    doctor,
    fleet,
    registry,
    start,
    tell,
    trust,
    variants,
)
from torchcrate.commands.show import results_alone
from torchcrate.errors import CrateError

_COLLECT = 10_000
"""Objects made before garbage is looked for: at Python's 700 that is a tenth of an export."""


class Commands(click.Group):
    """The one place where a CrateError becomes a message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; show a CrateError the way click shows its own."""
        try:
            return super().invoke(ctx)
        except CrateError as error:
            click.echo(f"Error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt as stop:
            stands = str(stop) or "nothing half-written was left"
            click.echo(f"Error: interrupted; {stands}", err=True)
            ctx.exit(errors.INTERRUPTED)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="torchcrate")
def main() -> None:
    """Turn a trained PyTorch network into a verified package for Python and C++.

    Example: torchcrate export && torchcrate verify && torchcrate publish --to registry
    """
    # Threads that wait by spinning make a busy machine five times slower; torch and numpy read
    # this once, and so does every program that is started from here.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # log2 of cycles, and the least
    # Else ONNX Runtime numbers this machine in a file at home, and tells its makers of each run.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


for command in (
    start.init,
    *(build.train, build.export, build.verify, build.demo, bench.bench, fleet.fleet),
    variants.optimise,
    *(registry.publish, registry.pull, registry.yank, registry.versions, registry.number),
    *(tell.diff, tell.release, tell.notify),
    *(doctor.doctor, trust.check),
):
    assert command.callback is not None
    command.callback = results_alone()(command.callback)
    main.add_command(command)


def run() -> NoReturn:
    """Run the command line and end the process at once: taking torch apart takes half a second."""
    gc.set_threshold(_COLLECT)
    _keep_stdout()
    if sys.stderr is None:  # closed by whoever began the process
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
    try:
        code = main(standalone_mode=True)
    except SystemExit as end:
        code = end.code
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        click.echo("Error: what was found cannot be written to stdout: no space left", err=True)
        code = 1
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):  # None where it was closed before
            stream.flush()
    except OSError:  # nobody reads, or there is no space
        code = code or 1
    atexit._run_exitfuncs()  # what libraries want done at the end
    os._exit(code if isinstance(code, int) else bool(code))


def _keep_stdout() -> None:
    """Let sys.stdout alone write to stdout: what programs and C++ print there goes to stderr."""
    if sys.stdout and sys.stderr:  # None where it was closed before
        encoding, errors = sys.stdout.encoding, sys.stdout.errors
        sys.stdout = os.fdopen(os.dup(1), "w", encoding=encoding, errors=errors)
        os.dup2(2, 1)

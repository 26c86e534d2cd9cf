"""Which network a command speaks of: a spec by its name, a table of the project, or ours."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from torchcrate.errors import UsageError

if TYPE_CHECKING:
    from torchcrate.model.spec import ModelSpec

DEFAULT = "torchcrate.model.digits:MNIST"
INPUT = "For a network without a spec, say image:float32[batch,3,224,224]; may be repeated."

target_argument = click.argument("target", required=False)


def importable_here() -> None:
    """Let the modules of the current folder and of its `src` be imported."""
    for folder in ("src", "."):
        path = str(Path(folder).resolve())
        if Path(path).is_dir() and path not in sys.path:
            sys.path.insert(0, path)


def spec_named(
    target: str | None,
    inputs: tuple[str, ...] = (),
    checkpoint: Path | None = None,
    key: str | None = None,
    name: str | None = None,
) -> "tuple[str, ModelSpec]":
    """Return a network with where it was found: "" for the table of ./pyproject.toml.

    Args:
        target: `package.module:name`; None for the table, or without one the default network.
        inputs: Of a network that has no spec.
        checkpoint: Instead of its own.
        key: Where in the checkpoint the state_dict lies.
        name: Of the crate, instead of its own.

    Raises:
        UsageError: If there is none, or what it says cannot be.
    """
    from dataclasses import replace

    from torchcrate.model import project, targets

    importable_here()
    spec = project.spec_here(Path.cwd()) if target is None else None
    if spec is None:
        target = target or DEFAULT
        spec = targets.spec_of(target, inputs)
    elif inputs:
        raise UsageError("--input describes a network that is named: name it, package.module:name")
    changed = {"checkpoint": checkpoint, "key": key, "name": name}
    if checkpoint is not None:
        changed["key"] = key or ""
    given = {field: value for field, value in changed.items() if value is not None}
    return target or "", replace(spec, **given)  # type: ignore[arg-type]

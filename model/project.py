"""A network described in a project's pyproject.toml, in the table [tool.torchcrate]."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from torchcrate.errors import UsageError
from torchcrate.files import reading
from torchcrate.model.spec import ModelSpec

FILE = "pyproject.toml"


class _Table(msgspec.Struct, forbid_unknown_fields=True):
    """The keys of the table, which are those of ModelSpec."""

    name: str
    build: str
    inputs: list[str]
    outputs: list[str] = []
    labels: list[str] = []
    sizes: dict[str, str] = {}
    checkpoint: str | None = None
    key: str | None = None
    arguments: dict[str, Any] = {}
    preprocess: str | None = None
    tolerances: dict[str, float] = {}
    exact: list[str] = []
    samples: str | None = None
    golden: str | None = None
    data: str | None = None
    calibration: str | None = None
    truth: str | None = None
    formats: list[str] = []
    program: str = "run.py"
    budget: dict[str, float] = {}


def spec_here(folder: Path) -> ModelSpec | None:
    """Return the network that the project in `folder` describes, None if it describes none.

    Paths in the table begin at `folder`.

    Raises:
        UsageError: If pyproject.toml is no TOML, or its table is not as it must be.
        FolderError: If it cannot be read.
    """
    path = folder / FILE
    with reading(path):
        if not path.is_file():
            return None
        text = path.read_bytes()
    try:
        tools = tomllib.loads(text.decode()).get("tool")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}") from error
    stated = tools.get("torchcrate") if isinstance(tools, dict) else None
    if stated is None:
        return None
    try:
        table = msgspec.convert(stated, _Table)
    except msgspec.ValidationError as error:
        raise UsageError(f"[tool.torchcrate] in {path}: {error}") from error
    values = msgspec.structs.asdict(table)
    values |= {
        key: tuple(values[key]) for key in ("inputs", "outputs", "labels", "exact", "formats")
    }
    if table.checkpoint is not None:
        values["checkpoint"] = folder / table.checkpoint
    return ModelSpec(**values)

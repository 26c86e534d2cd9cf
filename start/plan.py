"""What a repository gets to make a crate: a description, a pipeline, a test, a section to read.

Nothing that is there is overwritten: a file appears, or a section is added at its end, or it
stays as it is. Doing it again changes nothing.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from torchcrate.errors import UsageError
from torchcrate.files import reading, write_whole

_INCLUDE = re.compile(r"^include\s*:", re.MULTILINE)
_STAGES = re.compile(r"^stages\s*:", re.MULTILINE)
_OURS = re.compile(r"component\s*:.*/release@")


@dataclass(frozen=True)
class Choice:
    """What was found in a repository, or said by its owner.

    Attributes:
        name: Package name of the crate.
        build: The network, `package.module:Class`.
        inputs: What it takes, each as ModelSpec reads it.
        arguments: What building it takes.
        checkpoint: Its weights, from the repository's root; None for those it is born with.
        key: Where in the checkpoint the state_dict lies.
        component: Address of the CI/CD component.
        project: URL of the GitLab project that publishes it.
    """

    name: str
    build: str
    inputs: tuple[str, ...]
    component: str
    project: str = "https://gitlab.example.com/GROUP/PROJECT"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Path | None = None
    key: str | None = None


@dataclass(frozen=True)
class Change:
    """What happens to one file.

    Attributes:
        file: From the repository's root.
        before: What it holds, None if it is not there.
        after: What it will hold.
        by_hand: What its owner must put into it, because it cannot be added at its end.
    """

    file: str
    before: str | None
    after: str
    by_hand: str = ""

    @property
    def words(self) -> str:
        """Return for people what happens to the file."""
        if self.by_hand:
            return "yours to change"
        if self.before is None:
            return "new"
        return "stays as it is" if self.after == self.before else "a section more"

    def diff(self) -> str:
        """Return the change as `git diff` would show it, "" if there is none."""
        old = (self.before or "").splitlines(keepends=True)
        new = self.after.splitlines(keepends=True)
        return "".join(difflib.unified_diff(old, new, self.file, self.file))


def plan(folder: Path, choice: Choice) -> tuple[Change, ...]:
    """Return what each file of a repository becomes.

    Raises:
        UsageError: If pyproject.toml is no TOML.
        FolderError: If a file cannot be read.
    """
    return (
        _described(folder, choice),
        _piped(folder, choice),
        _added(folder, "tests/test_crate.py", _text("test_crate.txt", choice), "crate"),
        _added(folder, "README.md", _text("section.md", choice), f"torchcrate pull {choice.name}@"),
    )


def project_name(folder: Path) -> str:
    """Return the name of the project in pyproject.toml, else that of the folder, as a crate's.

    Raises:
        UsageError: If pyproject.toml is no TOML.
        FolderError: If it cannot be read.
    """
    project = _toml_of(folder / "pyproject.toml").get("project", {})
    name = str(project.get("name") or folder.resolve().name)
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.") or "network"


def described(folder: Path) -> str | None:
    """Return the name of the crate that pyproject.toml describes already, None without one.

    Raises:
        UsageError: If pyproject.toml is no TOML.
        FolderError: If it cannot be read.
    """
    table = _toml_of(folder / "pyproject.toml").get("tool", {}).get("torchcrate")
    return str(table.get("name", "")) if isinstance(table, dict) else None


def carry_out(folder: Path, changes: tuple[Change, ...]) -> None:
    """Write what `plan` returned.

    Raises:
        FolderError: If a file cannot be written.
    """
    for change in changes:
        if change.after != change.before:
            write_whole(folder / change.file, change.after.encode())


def _described(folder: Path, choice: Choice) -> Change:
    file = "pyproject.toml"
    before = _read(folder / file)
    if described(folder) is not None:
        return Change(file, before, before or "")
    return Change(file, before, _appended(before, _table(choice)))


def _toml_of(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path) or "")
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is no TOML: {error}") from error


def _table(choice: Choice) -> str:
    lines = ["# What torchcrate makes a crate of; the keys are those of its ModelSpec."]
    lines += ["[tool.torchcrate]", f"name = {_toml(choice.name)}", f"build = {_toml(choice.build)}"]
    lines += [f"inputs = {_toml(list(choice.inputs))}"]
    if choice.arguments:
        lines.append(f"arguments = {_toml(dict(choice.arguments))}")
    if choice.checkpoint is not None:
        lines.append(f"checkpoint = {_toml(choice.checkpoint.as_posix())}")
    if choice.key:
        lines.append(f"key = {_toml(choice.key)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """Return a value of JSON as TOML on one line.

    Raises:
        UsageError: For null, which TOML does not have.
    """
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if value is None:
        raise UsageError("an argument cannot be null: leave it away, or write a spec in Python")
    return json.dumps(value)


def _piped(folder: Path, choice: Choice) -> Change:
    file = ".gitlab-ci.yml"
    before, include = _read(folder / file), _text("pipeline.txt", choice)
    if before is None or not before.strip():
        return Change(file, before, include)
    if _OURS.search(before):
        return Change(file, before, before)
    if _INCLUDE.search(before) or _STAGES.search(before):
        return Change(file, before, before, by_hand=include)
    return Change(file, before, _appended(before, include))


def _added(folder: Path, file: str, text: str, sign: str) -> Change:
    """Return a file with a text at its end, unless it holds the sign of it."""
    before = _read(folder / file)
    after = before if before is not None and sign in before else _appended(before, text)
    return Change(file, before, after)


def _appended(before: str | None, text: str) -> str:
    return f"{before.rstrip()}\n\n{text}" if before and before.strip() else text


def _read(path: Path) -> str | None:
    with reading(path):
        try:
            return path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not in UTF-8: save it so, then try again") from error


def _text(template: str, choice: Choice) -> str:
    text = resources.files(__package__).joinpath(template).read_text("utf-8")
    return Template(text).substitute(
        name=choice.name, component=choice.component, project=choice.project
    )

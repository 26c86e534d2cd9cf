"""The networks of a fleet: a list in a file, or all specs of a package.

Each module is imported in a process of its own, so that one that crashes is one that has a fault.
"""

import ast
import inspect
import pkgutil
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType

from torchcrate.errors import CrateError, ExportError, UsageError
from torchcrate.files import reading
from torchcrate.fleet.processes import each
from torchcrate.model import targets
from torchcrate.model.spec import ModelSpec


@dataclass(frozen=True)
class Member:
    """One network of a fleet.

    Attributes:
        target: Where it is described, `package.module:SPEC`.
        name: Of its crate; the target where the spec cannot be read.
        fault: Why it cannot be read; None if it can.
    """

    target: str
    name: str
    fault: CrateError | None = None


def members(fleet: str, jobs: int) -> tuple[Member, ...]:
    """Return the networks of a fleet, in the order of the list or of a package's modules.

    Args:
        fleet: A file with one `package.module:SPEC` a line and comments after #, or the name of
            a package or module: what is meant then are the ModelSpecs at the top of its modules.
        jobs: How many modules are imported at once.

    Raises:
        UsageError: If it is neither, is empty, or two specs have one name.
        FolderError: If the file cannot be read.
    """
    path = Path(fleet)
    if path.is_file():
        found = _listed(path, jobs)
    elif all(word.isidentifier() for word in fleet.split(".")):
        found = _packaged(fleet, jobs)
    else:
        raise UsageError(f"{fleet} is neither a file with one network a line nor a package")
    if not found:
        raise UsageError(f"{fleet} names no network: write one package.module:SPEC a line")
    first: dict[str, Member] = {}
    for member in found:
        if member.fault is None and first.setdefault(member.name, member) is not member:
            raise UsageError(
                f"{first[member.name].target} and {member.target} are both named {member.name}: "
                "give each network a name of its own"
            )
    return found


def _listed(path: Path, jobs: int) -> tuple[Member, ...]:
    with reading(path):
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    listed = list(dict.fromkeys(filter(None, lines)))
    modules: dict[str, list[str]] = {}
    for target in listed:
        modules.setdefault(target.partition(":")[0], []).append(target)
    groups = list(modules.values())
    told: dict[str, Member] = {}
    with closing(each([partial(_described, group) for group in groups], jobs)) as ended:
        for done in ended:
            fault = done.error or ExportError("its module gives no answer")
            there = done.value or [Member(one, one, fault) for one in groups[done.number]]
            told |= {member.target: member for member in there}
    return tuple(told[target] for target in listed)


def _described(group: Sequence[str]) -> list[Member]:
    """Return a member for each target of one module."""
    found = []
    for target in group:
        try:
            found.append(Member(target, targets.spec_of(target).name))
        except CrateError as error:
            found.append(Member(target, target, error))
    return found


def _packaged(package: str, jobs: int) -> tuple[Member, ...]:
    with closing(each([partial(_modules, package)], 1)) as ended:
        walked = next(ended)
    if walked.value is None:
        raise UsageError(
            f"{package} is no file here, and cannot be looked through as a package: {walked.error}"
        ) from walked.error
    modules = walked.value
    found: list[Member] = []
    with closing(each([partial(_specs, module) for module in modules], jobs)) as listed:
        for done in sorted(listed, key=lambda done: done.number):
            found += done.value or ()
            if done.error:
                found.append(Member(modules[done.number], modules[done.number], done.error))
    return tuple(found)


def _modules(package: str) -> list[str]:
    """Return a package or module and all modules in it; one that cannot be imported as well."""
    path = getattr(_imported(package), "__path__", ())
    within = pkgutil.walk_packages(path, f"{package}.", lambda name: None)
    programs = "__main__"  # is run, and not imported
    names = [module.name for module in within if module.name.rpartition(".")[2] != programs]
    return [package, *names]


def _specs(name: str) -> list[Member]:
    """Return the specs that a module makes at its top; those that it imports are another's."""
    module = _imported(name)
    foreign = _bound_by_imports(module)
    own: dict[int, Member] = {}
    for word, value in vars(module).items():
        if isinstance(value, ModelSpec) and word not in foreign:
            own.setdefault(id(value), Member(f"{name}:{word}", value.name))
    return list(own.values())


def _imported(name: str) -> ModuleType:
    targets.resolve(f"{name}:__name__")  # says in one line why it cannot be
    return sys.modules[name]


def _bound_by_imports(module: ModuleType) -> set[str]:
    try:
        tree = ast.parse(inspect.getsource(module))
    except (OSError, TypeError, SyntaxError):  # compiled, or empty
        return set()
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

"""The source files that the eager program of a crate needs to build the network again.

Those are the modules of whoever wrote the network, found by following their imports. What came
by pip is named in a requirement and never copied.
"""

import ast
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torchcrate.errors import ExportError
from torchcrate.model.spec import ModelSpec
from torchcrate.model.targets import is_installed, name_of

_LENT = {"torch", "numpy"}  # requirements-eager.txt names them anyhow


@dataclass(frozen=True)
class Sources:
    """How a crate builds a network.

    Attributes:
        files: The path of each source by its name in the crate.
        network: Where the crate finds what builds the network, `module:name`.
        preprocess: Likewise what goes before it; None if nothing does.
        requirements: What else must be installed, as pip reads it.
    """

    files: dict[str, Path]
    network: str
    preprocess: str | None
    requirements: tuple[str, ...]

    def origin(self, spec: ModelSpec) -> dict[str, Any]:
        """Return what model.pth says of it; see `network.json`."""
        return {
            "network": self.network,
            "arguments": dict(spec.arguments),
            "preprocess": self.preprocess,
        }


def sources(spec: ModelSpec, own: str, taken: Sequence[str]) -> Sources:
    """Return what builds the network of `spec` from files alone.

    A module that imports none of its own package is the file of its last name; others keep
    their full names, with dots.

    Args:
        spec: The network.
        own: The top-level package that holds the spec, wherever it is installed; "" for none.
        taken: File names that a crate has already.

    Raises:
        ExportError: If the network's own code came by pip, or a file's name is taken.
    """
    wanted = [name_of(spec.build), *([name_of(spec.preprocess)] if spec.preprocess else [])]
    found, foreign = _closure([target.partition(":")[0] for target in wanted], own)
    for target in wanted:
        if target.partition(":")[0] not in found:
            raise ExportError(
                f"{target} came by pip, and its source is not yours to ship: "
                "model.pth holds the weights alone"
            )
    short = {
        name: name.rpartition(".")[2]
        for name, (path, own_imports) in found.items()
        if not own_imports and path.name != "__init__.py"
    }
    alone = {name for name in short if not _imported_by_others(name, found)}
    files, names = {}, {}
    for name, (path, _) in found.items():
        names[name] = short[name] if name in alone else name
        if path.name == "__init__.py" and not _leads_to(name, found, alone):
            continue
        file = f"{names[name]}.__init__.py" if path.name == "__init__.py" else f"{names[name]}.py"
        if file in taken or file in files:
            raise ExportError(f"a crate has a {file} of its own: give {path.name} another name")
        files[file] = path
    targets = []
    for target in wanted:
        module, _, attribute = target.partition(":")
        targets.append(f"{names[module]}:{attribute}")
    return Sources(files, targets[0], targets[1] if len(targets) > 1 else None, _pinned(foreign))


def _imported_by_others(name: str, found: dict[str, tuple[Path, set[str]]]) -> bool:
    return any(name in imports for _, imports in found.values())


def _leads_to(package: str, found: dict[str, tuple[Path, set[str]]], alone: set[str]) -> bool:
    """Return whether a package holds a module that is found by its full name."""
    return any(
        name.startswith(f"{package}.") and name not in alone and path.name != "__init__.py"
        for name, (path, _) in found.items()
    ) or _imported_by_others(package, found)


def _closure(modules: Sequence[str], own: str) -> tuple[dict[str, tuple[Path, set[str]]], set[str]]:
    """Return own modules with their files and own imports, and the names of foreign packages."""
    found: dict[str, tuple[Path, set[str]]] = {}
    foreign: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        file = _file(name)
        if file is None:
            continue
        if not _is_own(name, file, own):
            if file.suffix == ".py" or name.partition(".")[0] not in sys.stdlib_module_names:
                foreign.add(name.partition(".")[0])
            continue
        imports = set(_imports(name, file))
        ours = {each for each in imports if (path := _file(each)) and _is_own(each, path, own)}
        found[name] = (file, {each for each in ours if _file(each) != file})
        waiting += [*imports, *_parents(name)]
    return found, foreign - set(sys.stdlib_module_names)


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _is_own(name: str, file: Path, own: str) -> bool:
    top = name.partition(".")[0]
    # torchcrate is nobody's own but its own network's, be it installed to be edited in place.
    return top == own or (top != "torchcrate" and not is_installed(str(file)))


def _file(name: str) -> Path | None:
    try:
        spec: ModuleSpec | None = find_spec(name)
    except (ImportError, ValueError, AttributeError):  # a name in a module, not a module
        return None
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def _imports(name: str, file: Path) -> Iterator[str]:
    """Yield the modules that a file imports anywhere, absolute; names in them as well."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*up, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _pinned(packages: set[str]) -> tuple[str, ...]:
    by_package = metadata.packages_distributions()
    names = {name for package in packages - _LENT for name in by_package.get(package, ())[:1]}
    return tuple(sorted(f"{name}=={metadata.version(name)}" for name in names))

"""The source files that the eager program of a crate needs to build the network again.

Those are the modules of whoever wrote the network, found by following their imports. What came
by pip is named in a requirement and never copied.
"""

import ast
import sys
from collections.abc import Collection, Iterator, Sequence
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
_DESCRIBING = {"torchcrate.model.spec", "torchcrate.model.contract"}


@dataclass(frozen=True)
class Sources:
    """How a crate builds a network.

    Attributes:
        files: The path of each source by its name in the crate.
        network: Where the crate finds what builds the network, `module:name`.
        preprocess: Likewise what goes before it; None if nothing does.
        requirements: What else must be installed, as pip reads it.
        described_by: Modules of ours that the files import to describe the network, which the
            program has no need of: it gives them something of that name.
    """

    files: dict[str, Path]
    network: str
    preprocess: str | None
    requirements: tuple[str, ...]
    described_by: tuple[str, ...] = ()

    def origin(self, spec: ModelSpec) -> dict[str, Any]:
        """Return what model.pth says of it; see `network.json`."""
        described_by = {"described_by": list(self.described_by)} if self.described_by else {}
        return {
            "network": self.network,
            "arguments": dict(spec.arguments),
            "preprocess": self.preprocess,
            **described_by,
        }


def sources(spec: ModelSpec, target: str, taken: Sequence[str]) -> Sources:
    """Return what builds the network of `spec` from files alone.

    A module that imports none of its own package is the file of its last name, where that is
    free; others keep their full names, with dots.

    Args:
        spec: The network.
        target: Where the spec was found, `package.module:name`: that package is the network's
            own, wherever it is installed; none is if it is found nowhere, or is `spec.build`.
        taken: File names that a crate has already.

    Raises:
        ExportError: If the network's own code came by pip, or a name is that of a program.
    """
    wanted = [name_of(spec.build), *([name_of(spec.preprocess)] if spec.preprocess else [])]
    modules = [named.partition(":")[0] for named in wanted]
    own = target.partition(".")[0].partition(":")[0] if target != spec.build else ""
    found, foreign = _closure(modules, own)
    for module, named in zip(modules, wanted, strict=True):
        if module not in found:
            raise ExportError(
                f"{named} came by pip, and its source is not yours to ship: "
                "model.pth holds the weights alone"
            )
    short = _short(found, taken)
    files = {}
    for name, (path, _) in found.items():
        needed = name in modules or _leads_to(name, found, short.keys())
        if path.name == "__init__.py" and not needed:
            continue
        _require_free(short.get(name, name), path, taken)
        last = ".__init__.py" if path.name == "__init__.py" else ".py"
        files[f"{short.get(name, name)}{last}"] = path
    targets = []
    for named in wanted:
        module, _, attribute = named.partition(":")
        targets.append(f"{short.get(module, module)}:{attribute}")
    described_by = _described_by(foreign)
    packages = {name for name in foreign if not (described_by and _is_ours(name))}
    preprocess = targets[1] if len(targets) > 1 else None
    return Sources(files, targets[0], preprocess, _pinned(packages), described_by)


def _short(found: dict[str, tuple[Path, set[str]]], taken: Sequence[str]) -> dict[str, str]:
    """Return the last name of each module that may do without the others, by its full name."""
    short: dict[str, str] = {}
    for name, (path, own_imports) in found.items():
        last = name.rpartition(".")[2]
        others = {
            short.get(other, other).partition(".")[0]
            for other, (file, _) in found.items()
            if other != name and (file.name != "__init__.py" or _imported_by_others(other, found))
        }
        alone = not (own_imports or path.name == "__init__.py" or _imported_by_others(name, found))
        if alone and f"{last}.py" not in taken and last not in others:
            short[name] = last
    return short


def _require_free(name: str, path: Path, taken: Sequence[str]) -> None:
    """Refuse a module that the programs of a crate would find in place of one of their own.

    Raises:
        ExportError: Saying what to rename.
    """
    top = name.partition(".")[0]
    if f"{top}.py" in taken:
        mine = f"the package {top}" if name != top or path.name == "__init__.py" else path.name
        raise ExportError(f"a crate has a {top}.py of its own: give {mine} another name")


def _imported_by_others(name: str, found: dict[str, tuple[Path, set[str]]]) -> bool:
    return any(name in imports for _, imports in found.values())


def _leads_to(
    package: str, found: dict[str, tuple[Path, set[str]]], alone: Collection[str]
) -> bool:
    """Return whether a package holds a module that is found by its full name."""
    return any(
        name.startswith(f"{package}.") and name not in alone and path.name != "__init__.py"
        for name, (path, _) in found.items()
    ) or _imported_by_others(package, found)


def _closure(modules: Sequence[str], own: str) -> tuple[dict[str, tuple[Path, set[str]]], set[str]]:
    """Return own modules with their files and own imports, and the names of foreign modules."""
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
            if name.partition(".")[0] not in sys.stdlib_module_names:
                foreign.add(name)
            continue
        imports = set(_imports(name, file))
        ours = {each for each in imports if (path := _file(each)) and _is_own(each, path, own)}
        found[name] = (file, {each for each in ours if _file(each) != file})
        waiting += [*imports, *_parents(name)]
    return found, foreign


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
    except Exception:  # a name in a module, not a module; or a package that fails here
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


def _described_by(foreign: set[str]) -> tuple[str, ...]:
    """Return the modules of ours that describe a network, if no others of ours are imported."""
    found = {name for name in foreign if _is_ours(name)}
    return tuple(sorted(found & _DESCRIBING)) if found <= _DESCRIBING | {"torchcrate.model"} else ()


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "torchcrate"


def _pinned(modules: set[str]) -> tuple[str, ...]:
    packages = {name.partition(".")[0] for name in modules} - _LENT
    by_package = metadata.packages_distributions() if packages else {}
    names = {name for package in packages for name in by_package.get(package, ())[:1]}
    return tuple(sorted(f"{name}=={metadata.version(name)}" for name in names))

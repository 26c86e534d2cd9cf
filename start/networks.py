"""The networks of a repository, found by reading its sources; nothing of it is imported."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torchcrate.files import reading

_MODULE = "torch.nn.Module"
_SKIPPED = {"build", "dist", "node_modules", "site-packages", "tests", "test", "docs", "examples"}
_WEIGHTS = {".pth", ".pt", ".ckpt", ".safetensors"}


@dataclass(frozen=True)
class Network:
    """A class of the repository that derives from `torch.nn.Module`.

    Attributes:
        target: Its name, `package.module:Class`.
        file: Where it stands, from the repository's root.
        line: The line there.
        tree: Its source, read.
        names: What the names of its module stand for: `nn` for `torch.nn`.
    """

    target: str
    file: Path
    line: int
    tree: ast.ClassDef
    names: Mapping[str, str]

    @property
    def name(self) -> str:
        """Return the name of the class."""
        return self.tree.name

    @property
    def required(self) -> tuple[str, ...]:
        """Return the arguments that building it takes and has no default for."""
        made = method(self.tree, "__init__")
        if made is None:
            return ()
        positional = [*made.args.posonlyargs, *made.args.args][1:]
        bare = positional[: len(positional) - len(made.args.defaults)]
        keyword = zip(made.args.kwonlyargs, made.args.kw_defaults, strict=True)
        return (*(one.arg for one in bare), *(one.arg for one, value in keyword if value is None))


def networks(folder: Path) -> list[Network]:
    """Return the networks of a repository that are no parts of others, in the order of its files.

    Args:
        folder: Its root. Folders that hold tests, builds or hidden files are passed over, and
            files that are no Python of this version.
    """
    found = _classes(folder)
    known = {network.target.replace(":", "."): network for network in found}
    ours: list[Network] = []
    size = -1
    while size != len(ours):  # a class may derive from one that is found later
        size = len(ours)
        bases = {_MODULE, *(one.target.replace(":", ".") for one in ours)}
        ours = [one for one in found if bases & {_full(base, one) for base in one.tree.bases}]
    used = {name for one in ours for name in _named(one) if name in known}
    return [one for one in ours if one.target.replace(":", ".") not in used]


def checkpoints(folder: Path) -> list[Path]:
    """Return the files of a repository that look like weights, from its root, sorted."""
    return [file for file in _files(folder) if file.suffix in _WEIGHTS]


def method(tree: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    """Return a method of a class by its name."""
    return next(
        (each for each in tree.body if isinstance(each, ast.FunctionDef) and each.name == name),
        None,
    )


def dotted(node: ast.expr) -> str:
    """Return `a.b.c` of an expression that is only names, else ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := dotted(node.value)):
        return f"{before}.{node.attr}"
    return ""


def meant(name: str, names: Mapping[str, str]) -> str:
    """Return what a dotted name of a module stands for: `nn.Linear` for `torch.nn.Linear`."""
    first, dot, rest = name.partition(".")
    return f"{names.get(first, first)}{dot}{rest}"


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in _SKIPPED or path.is_symlink():
            continue
        if path.is_dir() and not (path / "pyvenv.cfg").exists():
            yield from (path.name / file for file in _files(path))
        elif path.is_file():
            yield Path(path.name)


def _classes(folder: Path) -> list[Network]:
    found = []
    for file in _files(folder):
        if file.suffix != ".py":
            continue
        with reading(folder / file):
            data = (folder / file).read_bytes()
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError):
            continue
        module = _module(file)
        names = _names(tree, module, file.name == "__init__.py")
        found += [
            Network(f"{module}:{node.name}", file, node.lineno, node, names)
            for node in tree.body
            if isinstance(node, ast.ClassDef)
        ]
    return found


def _module(file: Path) -> str:
    parts = list(file.with_suffix("").parts)
    if parts[0] == "src" and len(parts) > 1:
        parts = parts[1:]
    if parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts)


def _names(tree: ast.Module, module: str, is_package: bool) -> dict[str, str]:
    """Return what the names at the top of a module stand for, its own classes among them."""
    names = {}
    for node in tree.body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".") if is_package else module.split(".")[:-1]
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            for alias in node.names:
                names[alias.asname or alias.name] = f"{base}.{alias.name}" if base else alias.name
        elif isinstance(node, ast.ClassDef):
            names[node.name] = f"{module}.{node.name}"
    return names


def _full(base: ast.expr, network: Network) -> str:
    return meant(dotted(base), network.names)


def _named(network: Network) -> set[str]:
    """Return the full names that a class calls or derives from."""
    calls = {node.func for node in ast.walk(network.tree) if isinstance(node, ast.Call)}
    return {_full(node, network) for node in (*calls, *network.tree.bases)}

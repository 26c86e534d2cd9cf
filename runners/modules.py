"""A network's own Python, imported from the flat files of a crate.

A crate has no folders: the module `a.b.c` is the file `a.b.c.py`, the package `a.b` is
`a.b.__init__.py`, or nothing at all where its `__init__` was not needed.
"""

import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


class CrateFinder:
    """Finds the modules in one folder by their dotted names, before any that is installed."""

    def __init__(self, crate: Path) -> None:
        self._crate = crate
        self._files = {name for name in os.listdir(crate) if name.endswith(".py")}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return where the module `name` lies; None if it is not in this crate."""
        package = f"{name}.__init__.py"
        if package in self._files:
            file = self._crate / package
            return importlib.util.spec_from_file_location(name, file, submodule_search_locations=[])
        if f"{name}.py" in self._files:
            return importlib.util.spec_from_file_location(name, self._crate / f"{name}.py")
        if any(file.startswith(f"{name}.") for file in self._files):
            return importlib.machinery.ModuleSpec(name, None, is_package=True)
        return None


def find_in(crate: Path) -> None:
    """Let `import` look into the folder `crate` first, from now on."""
    sys.meta_path.insert(0, CrateFinder(crate))


class Description:
    """Stands for what describes a network where its program needs no description: does nothing."""

    def __init__(self, *values: object, **named: object) -> None:
        vars(self).update(named)


def describe_by(names: Sequence[str]) -> None:
    """Let `import` find the modules `names`, and the packages that hold them, from now on.

    They are not there, or not looked at: whatever is taken from them is a Description.
    """
    for name in names:
        module = sys.modules[name] = ModuleType(name)
        vars(module)["__getattr__"] = _described
        inner = name
        while "." in inner:
            outer, _, last = inner.rpartition(".")
            package = sys.modules.setdefault(outer, ModuleType(outer))
            vars(package).update({"__path__": [], last: sys.modules[inner]})
            inner = outer


def _described(name: str) -> type[Description]:
    if name.startswith("__"):  # what import itself asks a module for
        raise AttributeError(name)
    return Description


def target(name: str) -> Any:
    """Return what `name`, "module:object", means.

    Raises:
        ValueError: If it is not of that form.
        ImportError: If there is no such module.
        AttributeError: If the module has no such object.
    """
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        raise ValueError(f"{name!r} is not MODULE:NAME")
    value: Any = importlib.import_module(module)
    for part in path.split("."):
        value = getattr(value, part)
    return value

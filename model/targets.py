"""Something in somebody's code, found by its name `package.module:name`. Needs no torch."""

import importlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from torchcrate.errors import CrateError, UsageError
from torchcrate.model.spec import ModelSpec, tensor

_COMPILED = "torchvision::nms does not exist"  # torchvision beside a torch of another build


def resolve(target: str) -> Any:
    """Return what the text `package.module:name` names; the name may have dots.

    Raises:
        UsageError: If there is no such module or name, or importing it fails; says where.
    """
    module, colon, path = target.partition(":")
    if not colon or not path or not module or module.startswith("."):
        raise UsageError(f"{target!r} names nothing: write package.module:name")
    found: Any = _imported(module, target)
    for step in path.split("."):
        try:
            found = getattr(found, step)
        except AttributeError as error:
            raise UsageError(
                f"{module} has no {path}{_nearest(found, step)}: write package.module:name"
            ) from error
    return found


def name_of(thing: Any) -> str:
    """Return the text by which `resolve` finds a class or function.

    Raises:
        UsageError: If it has none: a lambda, a partial, something made inside a function.
    """
    if isinstance(thing, str):
        return thing
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", "")
    if not module or not name or "<" in name or module == "__main__":
        raise UsageError(
            f"{name or thing!r} cannot be found by a name: "
            "make it a class or a function at the top of a module"
        )
    return f"{module}:{name}"


def spec_of(
    target: str, inputs: Sequence[str] = (), arguments: Mapping[str, Any] | None = None
) -> ModelSpec:
    """Return the ModelSpec that `target` names, or one made for the network that it names.

    Args:
        target: `package.module:name` of a ModelSpec, or of what builds a network.
        inputs: For a network alone: its inputs, each as `tensor` reads it.
        arguments: For a network alone: keyword arguments of what builds it.

    Raises:
        UsageError: If nothing has that name, it is neither, or it lacks inputs or has its own.
    """
    found = resolve(target)
    if isinstance(found, ModelSpec):
        if inputs or arguments:
            raise UsageError(f"{target} is a ModelSpec with inputs of its own: leave --input away")
        return found
    if not callable(found):
        raise UsageError(
            f"{target} is {type(found).__name__}: name a ModelSpec, or what builds an nn.Module"
        )
    if not inputs:
        raise UsageError(
            f"{target} builds a network and says nothing of its inputs: add "
            '--input "NAME:DTYPE[AXIS,...]", or name a ModelSpec'
        )
    name = target.rpartition(":")[2].rpartition(".")[2].replace("_", "-").lower()
    given = tuple(tensor(text) for text in inputs)
    return ModelSpec(name=name, build=target, inputs=given, arguments=dict(arguments or {}))


def where(error: BaseException) -> str:
    """Return ` at FILE:LINE` of the last line of the user's own code in a traceback, or ""."""
    theirs = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
        if not is_installed(frame.f_code.co_filename)
        and not frame.f_code.co_filename.startswith("<")
        and not str(frame.f_globals.get("__name__", "")).startswith("torchcrate.")
    ]
    return f" at {short(theirs[-1][0])}:{theirs[-1][1]}" if theirs else ""


def said(error: BaseException) -> str:
    """Return the first line of what an exception says, with its kind."""
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def is_installed(file: str) -> bool:
    """Return whether a source file came with Python or by pip, and is not the user's own."""
    return any(
        part in ("site-packages", "dist-packages") for part in Path(file).parts
    ) or file.startswith((sys.base_prefix + "/lib/", "<frozen"))


def short(file: str) -> str:
    """Return a path as it is read in a message: from the current folder, or its name alone."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else path.name


def _imported(module: str, target: str) -> ModuleType:
    try:
        try:
            return importlib.import_module(module)
        except RuntimeError as error:
            if _COMPILED not in str(error):
                raise
            _without_compiled_operators()
            return importlib.import_module(module)
    except CrateError:
        raise
    except ModuleNotFoundError as error:
        if error.name and f"{module}.".startswith(f"{error.name}."):
            raise UsageError(
                f"there is no module {error.name} for {target}: run this where it can be "
                "imported, or install it here"
            ) from error
        raise UsageError(
            f"{module} needs {error.name}, which is not installed{where(error)}"
        ) from error
    except SystemExit as error:
        raise UsageError(
            f"importing {module} ends the program{where(error)}: "
            'put what it runs behind if __name__ == "__main__"'
        ) from error
    except Exception as error:  # whatever the user's code does when it is imported
        raise UsageError(f"importing {module} fails{where(error)}: {said(error)}") from error


def _without_compiled_operators() -> None:
    from torchcrate.model.operators import declare_missing_operators

    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    declare_missing_operators()


def _nearest(found: Any, step: str) -> str:
    import difflib

    close = difflib.get_close_matches(step, dir(found), 1)
    return f", is {close[0]} meant" if close else ""

"""The import order of the house: data flows one way, and the root listing tells it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {
    "": "src/torchcrate",
    "commands": "src/torchcrate/commands",
    "fleet": "src/torchcrate/fleet",
    "model": "model",
    "export": "export",
    "verify": "verify",
    "bench": "bench",
    "variants": "variants",
    "release": "release",
    "start": "start",
}

# What each room may import of ours; "room.module" allows that one module.
ALLOWED = {
    "errors": set(),
    "cores": set(),
    "files": {"errors"},
    "values": {"errors"},
    "table": set(),
    "model": {"errors", "files", "values", "model"},
    "export": {"errors", "files", "values", "model", "export"},
    "verify": {"errors", "cores", "files", "values", "model", "export.artifact", "verify"},
    "bench": {"errors", "cores", "files", "values", "table", "model", "export", "verify", "bench"},
    "variants": {
        *("errors", "files", "table", "model", "export", "verify", "bench", "variants"),
    },
    "release": {
        *("errors", "files", "table", "values", "release", "model.contract", "model.spec"),
        *("export.artifact", "export.onnx_support", "verify.report"),
    },
    "start": {"errors", "files", "start"},
    "road": {
        *("errors", "files", "table", "model", "export", "verify", "bench", "variants"),
        "release",
    },
    "commands": {
        *("errors", "cores", "table", "road", "fleet", "model", "export.doctor", "bench"),
        *("variants", "release", "start", "commands"),
    },
    "fleet": {"errors", "cores", "files", "table", "road", "model", "export", "release", "fleet"},
    "cli": {"errors", "commands"},
    "__main__": {"cli"},
    "__init__": set(),
}
HEAVY = {"torch", "numpy", "onnx", "onnxruntime", "torchvision", "safetensors", "PIL"}


def imports(path: Path) -> set[str]:
    """Return every module that the file imports, anywhere in it, absolute names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _files(room: str, folder: Path) -> list[Path]:
    return sorted(folder.glob("**/*.py" if room else "*.py"))


def modules() -> list[tuple[str, Path]]:
    """Return each module's room ("errors" and its neighbours are rooms of one) and file."""
    rows = []
    for room, folder in ROOMS.items():
        rows += [(room or path.stem, path) for path in _files(room, ROOT / folder)]
    return rows


def faults(room: str, names: set[str]) -> list[str]:
    ours = {name.removeprefix("torchcrate.") for name in names if name.startswith("torchcrate.")}
    return [
        name
        for name in sorted(ours)
        if not any(f"{name}.".startswith(f"{allowed}.") for allowed in ALLOWED[room])
    ]


@pytest.mark.parametrize(
    ("room", "path"), modules(), ids=lambda value: value.stem if isinstance(value, Path) else value
)
def test_each_module_imports_only_what_lies_before_it(room: str, path: Path) -> None:
    assert faults(room, imports(path)) == []


@pytest.mark.parametrize("path", sorted((ROOT / "export").glob("*.py")), ids=lambda path: path.stem)
def test_exporting_asks_the_doctor_only_which_layer_is_off(path: Path) -> None:
    asked = {name for name in imports(path) if name.startswith("torchcrate.export.doctor")}

    assert asked <= ({"torchcrate.export.doctor.locate.locate"} if path.stem == "choose" else set())


def test_an_import_against_the_order_would_be_caught() -> None:
    assert faults("export", {"torchcrate.verify.report.Report"}) == ["verify.report.Report"]
    assert faults("release", {"torchcrate.model.net"}) == ["model.net"]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "release").glob("**/*.py")), ids=lambda path: path.stem
)
def test_release_imports_neither_torch_nor_numpy(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & HEAVY


def test_pulling_and_listing_load_nothing_heavy() -> None:
    code = (
        "import sys, torchcrate.cli, torchcrate.release.pull, torchcrate.release.publish,"
        "torchcrate.release.gitlab, torchcrate.release.folder;"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["net", "preprocess"])
def test_what_ships_beside_the_eager_runner_imports_torch_and_nothing_else(name: str) -> None:
    top = {each.split(".")[0] for each in imports(ROOT / "model" / f"{name}.py")}

    assert top <= {"torch", "typing"}


@pytest.mark.parametrize(
    "path", sorted((ROOT / "runners").glob("*.py")), ids=lambda path: path.stem
)
def test_runners_import_the_standard_library_their_requirements_and_siblings(path: Path) -> None:
    siblings = {file.stem for file in (ROOT / "runners").glob("*.py")} | {"calling"}
    packages = {"torch", "numpy", "PIL", "safetensors", "onnxruntime"}

    top = {each.split(".")[0] for each in imports(path)}

    assert top <= sys.stdlib_module_names | siblings | packages
    if path.stem == "run_onnx":
        assert "torch" not in top


@pytest.mark.parametrize(
    "folder", ["model", "export", "verify", "bench", "variants", "release", "start"]
)
def test_init_files_hold_a_docstring_and_nothing_else(folder: str) -> None:
    tree = ast.parse((ROOT / folder / "__init__.py").read_text())

    assert ast.get_docstring(tree)
    assert len(tree.body) == 1


def test_there_is_no_drawer_for_odds_and_ends() -> None:
    names = {path.stem for _, path in modules()}

    assert not names & {"utils", "helpers", "common", "misc"}

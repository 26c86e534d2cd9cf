"""The files that build a network again are found by their imports; what came by pip is named."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from torchcrate.errors import ExportError
from torchcrate.export.sources import Sources, sources
from torchcrate.model.digits import MNIST
from torchcrate.model.spec import ModelSpec

ROOT = Path(__file__).parents[2]
NET = "from torch import nn\n\nclass Net(nn.Identity):\n    pass\n"
FILES = {
    # A package whose modules import each other.
    "kin/__init__.py": "",
    "kin/net.py": f"from .parts import layers\nfrom . import names\n{NET}",
    "kin/names.py": "LABELS = ('a', 'b')\n",
    "kin/parts/__init__.py": "from kin.parts.layers import Block\n",
    "kin/parts/layers.py": "class Block:\n    pass\n",
    "kin/train.py": "import kin.net\n",
    # Modules that stand alone, in a package and at the top.
    "lone/__init__.py": "",
    "lone/net.py": NET,
    "lone/scale.py": NET.replace("Net", "Scale"),
    "single.py": f"import json, collections.abc\nimport numpy as np\n{NET}",
    # Others.
    "other/__init__.py": "",
    "other/net.py": NET.replace("Net", "Other"),
    "hungry.py": f"import msgspec\nimport torch.nn.functional\n{NET}",
    "lazy.py": f"{NET}\ndef later():\n    from msgspec import json\n",
    "images.py": NET,
    "strange.py": f"import not_installed_anywhere\n{NET}",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    tops = {name.partition("/")[0].removesuffix(".py") for name in FILES} | {"pipped"}
    for name in [name for name in sys.modules if name.partition(".")[0] in tops]:
        del sys.modules[name]


def found(build: str, taken: tuple[str, ...] = (), own: str = "", **more: Any) -> Sources:
    return sources(ModelSpec("net", build, ("x:float32[n]",), **more), own, taken)


def test_a_package_ships_what_its_network_imports_and_nothing_else() -> None:
    made = found("kin.net:Net")

    assert sorted(made.files) == [
        "kin.__init__.py",
        "kin.names.py",
        "kin.net.py",
        "kin.parts.__init__.py",
        "kin.parts.layers.py",
    ]
    assert made.network == "kin.net:Net"
    assert made.requirements == ()


@pytest.mark.parametrize(
    ("build", "file"), [("lone.net:Net", "net.py"), ("single:Net", "single.py")]
)
def test_a_module_that_stands_alone_ships_under_its_last_name(build: str, file: str) -> None:
    made = found(build)

    assert list(made.files) == [file]
    assert made.network == f"{file.removesuffix('.py')}:Net"
    assert made.preprocess is None


def test_preprocessing_ships_beside_the_network(project: Path) -> None:
    made = found("lone.net:Net", preprocess="lone.scale:Scale")

    assert made.files == {
        "net.py": project / "lone/net.py",
        "scale.py": project / "lone/scale.py",
    }
    assert (made.network, made.preprocess) == ("net:Net", "scale:Scale")


def test_where_the_crate_finds_them_is_what_model_pth_says() -> None:
    spec = ModelSpec("net", "lone.net:Net", ("x:float32[n]",), arguments={"width": 3})

    assert sources(spec, "", ()).origin(spec) == {
        "network": "net:Net",
        "arguments": {"width": 3},
        "preprocess": None,
    }


@pytest.mark.parametrize("build", ["hungry:Net", "lazy:Net"])
def test_what_came_by_pip_is_a_requirement_with_its_version(build: str) -> None:
    assert found(build).requirements == (f"msgspec=={metadata.version('msgspec')}",)


def test_torch_numpy_and_the_standard_library_are_no_requirements() -> None:
    assert found("single:Net").requirements == ()


def test_an_import_that_is_not_there_is_none() -> None:
    made = found("strange:Net")

    assert (list(made.files), made.requirements) == (["strange.py"], ())


def test_two_files_of_one_name_are_refused() -> None:
    with pytest.raises(ExportError, match=r"net\.py"):
        found("lone.net:Net", preprocess="other.net:Other")


def test_a_name_that_a_crate_has_already_is_refused() -> None:
    with pytest.raises(ExportError, match=r"a crate has a images\.py of its own: give images\.py"):
        found("images:Net", taken=("images.py", "run.py"))


def pipped(project: Path) -> None:
    (project / "site-packages/pipped").mkdir(parents=True)
    (project / "site-packages/pipped/__init__.py").write_text(NET)
    sys.path.insert(0, str(project / "site-packages"))


def test_a_network_that_came_by_pip_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(project / "site-packages"))
    pipped(project)

    with pytest.raises(ExportError, match="pipped:Net came by pip, and its source is not yours"):
        found("pipped:Net")
    with pytest.raises(ExportError, match=r"torch\.nn:Linear came by pip"):
        found("torch.nn:Linear")


def test_the_package_that_holds_the_spec_is_ones_own_wherever_it_lies(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(project / "site-packages"))
    pipped(project)

    assert found("pipped:Net", own="pipped").network == "pipped:Net"


def test_a_spec_beside_its_network_brings_torchcrate_as_a_requirement_alone(project: Path) -> None:
    spec = "SPEC = ModelSpec('n', Net, ('x:int8[n]',))\n"
    (project / "lone/net.py").write_text(
        f"from torchcrate.model.spec import ModelSpec\n{NET}{spec}"
    )

    made = found("lone.net:Net")

    assert list(made.files) == ["net.py"]
    assert made.requirements == (f"torchcrate=={metadata.version('torchcrate')}",)


def test_our_own_network_ships_two_files_that_need_torch_alone() -> None:
    made = sources(MNIST, "torchcrate", ())

    assert sorted(made.files) == ["net.py", "preprocess.py"]
    assert (made.network, made.preprocess) == ("net:Net", "preprocess:Preprocess")
    assert made.requirements == ()


def test_the_files_build_the_network_without_the_project(tmp_path: Path) -> None:
    made = found("kin.net:Net")
    crate = tmp_path / "crate"
    crate.mkdir()
    for name, path in made.files.items():
        shutil.copy(path, crate / name)
    shutil.copy(ROOT / "runners/modules.py", crate)
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "import modules\n"
        "modules.find_in(pathlib.Path(sys.argv[1]))\n"
        "print(modules.target(sys.argv[2])())"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, crate, made.network],
        cwd=crate,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == "Net()\n", done.stderr

"""The files that build a network again are found by their imports; what came by pip is named."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import torch

from torchcrate.errors import ExportError
from torchcrate.export.doctor.formats import source
from torchcrate.export.sources import Sources, sources
from torchcrate.export.to_state_dict import to_state_dict
from torchcrate.model import weights
from torchcrate.model.contract import Contract, tensor
from torchcrate.model.digits import MNIST
from torchcrate.model.spec import ModelSpec
from torchcrate.release.crate import program_names

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
    for name in SHIPPED:  # a test of the runners may have imported them
        monkeypatch.delitem(sys.modules, name, raising=False)
    known = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - known:
        where = [getattr(sys.modules[name], each, "") for each in ("__path__", "__file__")]
        if str(tmp_path) in str(where):
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


def test_a_network_in_the_file_of_a_package_ships_with_it(project: Path) -> None:
    (project / "lone/__init__.py").write_text(NET)
    spec = ModelSpec("net", "lone:Net", ("x:float32[n]",))

    made = sources(spec, "", ())

    assert made.files == {"lone.__init__.py": project / "lone/__init__.py"}
    assert made.network == "lone:Net"


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


def test_an_import_that_fails_where_it_is_looked_at_is_none(project: Path) -> None:
    (project / "broken").mkdir()
    (project / "broken/__init__.py").write_text("raise RuntimeError('no such operator')\n")
    (project / "broken/ops.py").touch()
    (project / "user.py").write_text(
        f"try:\n    import broken.ops\nexcept RuntimeError:\n    pass\n{NET}"
    )

    assert list(found("user:Net").files) == ["user.py"]


def test_of_two_modules_with_one_last_name_one_keeps_its_full_name(project: Path) -> None:
    made = found("lone.net:Net", preprocess="other.net:Other")

    assert made.files == {
        "lone.__init__.py": project / "lone/__init__.py",
        "lone.net.py": project / "lone/net.py",
        "net.py": project / "other/net.py",
    }
    assert (made.network, made.preprocess) == ("lone.net:Net", "net:Other")


TAKEN = program_names(MNIST)
PROGRAMS = ["calling", *sorted(path.stem for path in (ROOT / "runners").glob("[!_]*.py"))]
SHIPPED = [MNIST.program.removesuffix(".py") if name == "run" else name for name in PROGRAMS]


@pytest.mark.parametrize("name", SHIPPED)
def test_no_file_of_a_network_takes_the_place_of_a_program(project: Path, name: str) -> None:
    for file in (f"{name}.py", f"lone/{name}.py", f"kin/{name}.py"):
        (project / file).write_text(NET)
    (project / "kin/net.py").write_text(f"from kin import {name}\nNet = {name}.Net\n")
    (project / "user.py").write_text(f"import {name}\nNet = {name}.Net\n")

    for build in (f"{name}:Net", "user:Net"):
        with pytest.raises(ExportError) as refused:
            found(build, taken=TAKEN)
        assert (
            str(refused.value) == f"a crate has a {name}.py of its own: give {name}.py another name"
        )
    assert sorted(found(f"lone.{name}:Net", taken=TAKEN).files) == [
        "lone.__init__.py",
        f"lone.{name}.py",
    ]
    for build in (f"lone.{name}:Net", "kin.net:Net"):
        assert not set(found(build, taken=TAKEN).files) & set(TAKEN)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_package_that_hides_a_program_is_refused(project: Path, name: str) -> None:
    (project / name).mkdir()
    (project / name / "__init__.py").touch()
    (project / name / "net.py").write_text(f"from {name}.parts import Net\n")
    (project / name / "parts.py").write_text(NET)
    (project / name / "lone.py").write_text(NET)

    with pytest.raises(ExportError) as refused:
        found(f"{name}.net:Net", taken=TAKEN)

    why = f"a crate has a {name}.py of its own: give the package {name} another name"
    assert str(refused.value) == why
    assert list(found(f"{name}.lone:Net", taken=TAKEN).files) == ["lone.py"]


def test_the_doctor_refuses_the_same_names(project: Path) -> None:
    (project / "lines.py").write_text(NET)
    spec = ModelSpec("net", "lines:Net", ("x:float32[n]",))

    found = source(spec, "", TAKEN)

    assert found.state == "note"
    assert found.what.startswith("left out: a crate has a lines.py of its own")


def asked(crate: Path, made: Sources, spec: ModelSpec) -> "subprocess.CompletedProcess[str]":
    """Run the eager program of a crate on one line of JSON, where there is no torchcrate."""
    crate.mkdir()
    contract = Contract(spec.contract.inputs, (tensor("y:float32[n]"),))
    network = weights.build(spec)
    to_state_dict(network, contract, crate / "model.pth", made.origin(spec))
    for path in [*(ROOT / "runners").glob("*.py"), ROOT / "model/calling.py"]:
        shutil.copy(path, crate)
    for name, path in made.files.items():
        assert not (crate / name).exists()
        shutil.copy(path, crate / name)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import run_eager, torchcrate"
    packages = {"PYTHONPATH": str(Path(torch.__file__).parents[1])}
    there = subprocess.run(  # -S: no finder of what is installed to be edited
        [sys.executable, "-S", "-c", code, crate], env=packages, capture_output=True, check=False
    )
    assert b"No module named 'torchcrate'" in there.stderr
    return subprocess.run(
        [sys.executable, "-S", crate / "run_eager.py", "--json"],
        input='{"x": [1, 2]}\n',
        env=packages,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_network_whose_modules_have_the_names_of_programs_answers_from_its_crate(
    project: Path,
) -> None:
    for name in PROGRAMS:
        (project / f"kin/{name}.py").write_text("ONE = 1\n")
    imports = "".join(f"from kin import {name}\n" for name in PROGRAMS)
    total = " + ".join(f"{name}.ONE" for name in PROGRAMS)
    (project / "kin/net.py").write_text(
        f"{imports}from torch import nn\n\n"
        f"class Net(nn.Module):\n    def forward(self, x):\n        return x + {total}\n"
    )
    spec = ModelSpec("net", "kin.net:Net", ("x:float32[n]",))

    done = asked(project / "crate", sources(spec, "", TAKEN), spec)

    assert done.stderr == ""
    assert done.stdout == f'{{"y": [{1.0 + len(PROGRAMS)}, {2.0 + len(PROGRAMS)}]}}\n'


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


BESIDE = f"""
from torchcrate.model import spec
from torchcrate.model.contract import Sizes, TensorSpec, tensor
from torchcrate.model.spec import ModelSpec
import torchcrate.model.spec
{NET}
IN = (tensor("x:float32[n]"), TensorSpec("z", "int8", ()))
SPEC = ModelSpec("n", Net, IN, labels=("a", "b"), sizes={{"n": Sizes(1, 5)}})
LABELS = SPEC.labels

def other() -> spec.ModelSpec:
    return torchcrate.model.spec.ModelSpec("m", Net, IN)

OTHER = other()
"""


def test_a_spec_beside_its_network_needs_no_torchcrate_in_the_crate(project: Path) -> None:
    (project / "lone/net.py").write_text(BESIDE)
    spec = ModelSpec("net", "lone.net:Net", ("x:float32[n]",))

    made = sources(spec, "", TAKEN)
    done = asked(project / "crate", made, spec)

    assert list(made.files) == ["net.py"]
    assert made.requirements == ()
    assert made.described_by == ("torchcrate.model.contract", "torchcrate.model.spec")
    assert (done.stdout, done.stderr) == ('{"y": [1.0, 2.0]}\n', "")


@pytest.mark.parametrize(
    "more",
    ["import torchcrate", "import torchcrate.model.digits", "from torchcrate.model import net"],
)
def test_a_network_that_needs_more_of_torchcrate_has_it_as_a_requirement(
    project: Path, more: str
) -> None:
    (project / "lone/net.py").write_text(f"{more}\n{BESIDE}")

    made = found("lone.net:Net")

    assert made.requirements == (f"torchcrate=={metadata.version('torchcrate')}",)
    assert made.described_by == ()


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

"""What somebody's code holds is found by its name, and each way of not finding it is one line."""

import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from torchcrate.errors import ContractError, UsageError
from torchcrate.model import targets
from torchcrate.model.spec import ModelSpec

MODULES = {
    "shop/__init__.py": "",
    "shop/net.py": """
from torchcrate.model.spec import ModelSpec

class Net:
    class Inner:
        pass

SPEC = ModelSpec("shop-net", Net, ("x:int8[n]",))
NUMBER = 7

def make_net():
    return Net()
""",
    "shop/broken.py": "\n\n1 / 0\n",
    "shop/needy.py": "import surely_not_installed\n",
    "shop/typo.py": "def f(:\n",
    "shop/refusing.py": "from torchcrate.model.contract import tensor\nX = tensor('x')\n",
    "shop/quiet.py": "raise ValueError\n",
    "shop/leaving.py": "import sys\n\nsys.exit()\n",
}


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in MODULES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.mark.parametrize("target", ["shop.net:Net", "shop.net:Net.Inner", "shop.net:make_net"])
def test_a_name_finds_what_its_own_name_is(target: str) -> None:
    assert targets.name_of(targets.resolve(target)) == target


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("shop.net", "'shop.net' names nothing: write package.module:name"),
        ("", "'' names nothing"),
        (":SPEC", "names nothing"),
        ("shop.net:", "names nothing"),
        ("shop.nut:Net", "there is no module shop.nut for shop.nut:Net: run this where"),
        ("nowhere.net:Net", "there is no module nowhere for nowhere.net:Net"),
        ("shop.net.deeper:Net", "there is no module shop.net.deeper"),
        ("shop.net:Nett", "shop.net has no Nett, is Net meant: write package.module:name"),
        ("shop.net:Net.Outer", "shop.net has no Net.Outer"),
        ("shop.net:zzzz", "shop.net has no zzzz: write"),
        ("shop.needy:X", "shop.needy needs surely_not_installed, which is not installed at"),
        ("shop.broken:X", "importing shop.broken fails at shop/broken.py:3: ZeroDivisionError"),
        ("shop.typo:X", "importing shop.typo fails"),
        ("shop.quiet:X", "importing shop.quiet fails at shop/quiet.py:1: ValueError"),
        ("shop.leaving:X", "importing shop.leaving ends the program at shop/leaving.py:3: put"),
        ("shop.refusing:X", "'x' is no tensor: write NAME:DTYPE[AXIS,...]"),
        ("..net:Net", "names nothing: write package.module:name"),
        ("shop..net:Net", "there is no module"),
        ("shop/net.py:Net", "there is no module"),
        ("shop.net:Net:Inner", "shop.net has no Net:Inner"),
        ("shop.net:Net..Inner", "shop.net has no Net..Inner"),
    ],
)
def test_what_is_not_found_is_one_line(target: str, words: str) -> None:
    with pytest.raises(UsageError) as refused:
        targets.resolve(target)

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def local() -> Any:
    class Inside:
        pass

    return Inside


@pytest.mark.parametrize(
    "thing",
    [lambda: 7, local(), functools.partial(int, "7"), 7],
    ids=["lambda", "local", "partial", "7"],
)
def test_what_has_no_name_to_be_found_by_is_refused(thing: Any) -> None:
    with pytest.raises(
        UsageError, match="cannot be found by a name: make it a class or a function"
    ):
        targets.name_of(thing)


def test_a_text_is_its_own_name() -> None:
    assert targets.name_of("pkg:Net") == "pkg:Net"


def test_a_spec_is_found_as_it_is() -> None:
    spec = targets.spec_of("shop.net:SPEC")

    assert isinstance(spec, ModelSpec)
    assert spec.name == "shop-net"


def test_a_network_alone_is_described_by_its_inputs() -> None:
    spec = targets.spec_of("shop.net:make_net", ["x:int8[n]"], {"size": 3})

    assert (spec.name, spec.build, spec.arguments) == ("make-net", "shop.net:make_net", {"size": 3})
    assert spec.contract.free == ("n",)


@pytest.mark.parametrize(
    ("target", "inputs", "words"),
    [
        ("shop.net:SPEC", ["x:int8[n]"], "is a ModelSpec with inputs of its own: leave --input"),
        ("shop.net:NUMBER", [], "shop.net:NUMBER is int: name a ModelSpec, or what builds"),
        ("shop.net:Net", [], "says nothing of its inputs: add --input"),
        ("shop.net:Net", ["x"], "'x' is no tensor"),
        ("shop.net", [], "names nothing"),
    ],
)
def test_what_is_no_spec_is_one_line(target: str, inputs: list[str], words: str) -> None:
    with pytest.raises(UsageError) as refused:
        targets.spec_of(target, inputs)

    assert words in str(refused.value)


def test_where_an_error_is_is_the_last_line_of_the_users_own_code(shop: Path) -> None:
    (shop / "shop/fails.py").write_text("import json\n\ndef f():\n    return json.loads('{')\n")
    with pytest.raises(ValueError, match="property name") as raised:
        targets.resolve("shop.fails:f")()

    assert targets.where(raised.value) == " at shop/fails.py:4"
    assert targets.said(raised.value).startswith("JSONDecodeError: Expecting property name")


def test_an_error_of_no_code_of_theirs_has_no_place() -> None:
    with pytest.raises(UsageError) as raised:
        targets.resolve("nothing")

    without_this_test = raised.value.with_traceback(raised.tb.tb_next)
    assert targets.where(without_this_test) == ""


def test_of_many_lines_the_first_is_said() -> None:
    assert targets.said(ValueError("\n one\ntwo")) == "ValueError: one"
    assert targets.said(ContractError()) == "ContractError"

"""The networks of a repository are found by reading it; parts of others are none."""

import pytest

from torchcrate.start.networks import checkpoints, networks


@pytest.fixture
def repository(tmp_path):
    def made(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return made


def targets(folder):
    return [network.target for network in networks(folder)]


@pytest.mark.parametrize(
    "text",
    [
        "from torch import nn\nclass Net(nn.Module): pass",
        "import torch\nclass Net(torch.nn.Module): pass",
        "import torch.nn as layers\nclass Net(layers.Module): pass",
        "from torch.nn import Module as Base\nclass Net(Base): pass",
        "from torch import nn\nclass Net(object, nn.Module): pass",
    ],
)
def test_a_module_is_known_by_whatever_name_it_was_imported(repository, text):
    assert targets(repository({"net.py": text})) == ["net:Net"]


@pytest.mark.parametrize(
    "text",
    [
        "class Module: pass\nclass Net(Module): pass",
        "import nn\nclass Net(nn.Module): pass",
        "class Net: pass",
        "class Net(nn.Module",
    ],
)
def test_what_is_no_module_of_torch_is_no_network(repository, text):
    assert targets(repository({"net.py": text})) == []


def test_a_class_that_others_build_or_derive_from_is_a_part(repository):
    block = "from torch import nn\nclass Block(nn.Module): pass\nclass Base(nn.Module): pass"
    net = "from .block import Base, Block\nclass Net(Base):\n    def __init__(self): Block()"

    folder = repository({"pkg/__init__.py": "", "pkg/block.py": block, "pkg/net.py": net})

    assert targets(folder) == ["pkg.net:Net"]


def test_a_module_of_src_is_named_as_it_is_imported(repository):
    text = "from torch import nn\nclass Net(nn.Module): pass"

    assert targets(repository({"src/pkg/net.py": text})) == ["pkg.net:Net"]


def test_tests_builds_and_environments_are_passed_over(repository):
    text = "from torch import nn\nclass Net(nn.Module): pass"
    folder = repository({f"{name}/net.py": text for name in ("tests", "build", "env", ".hidden")})
    (folder / "env/pyvenv.cfg").touch()

    assert targets(folder) == []


def test_arguments_without_a_default_are_required(repository):
    text = """
from torch import nn
class Net(nn.Module):
    def __init__(self, width, depth=3, *, heads, bias=True): pass
"""

    (network,) = networks(repository({"net.py": text}))

    assert network.required == ("width", "heads")


def test_weights_are_known_by_their_ending(repository):
    folder = repository({"a.py": ""})
    for name in ("b.pth", "a.safetensors", "c.txt", ".hidden.pth"):
        (folder / name).touch()

    assert [path.name for path in checkpoints(folder)] == ["a.safetensors", "b.pth"]

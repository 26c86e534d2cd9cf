"""torchcrate init: what it finds it says, what it lacks it asks, what is there it leaves."""

import json
import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from torchcrate.model.project import spec_here

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 2)
    def forward(self, x):
        return self.first(x)
"""
WIDE = NET.replace("(self):", "(self, width):")
MADE = {"pyproject.toml", ".gitlab-ci.yml", "tests/test_crate.py", "README.md"}


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "My Nets"
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    return folder


def state(folder):
    """Return every file below a folder with its text."""
    files = [path for path in folder.glob("**/*") if path.is_file() and ".git/" not in str(path)]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_a_repository_with_one_network_is_asked_nothing(torchcrate, repository):
    done = torchcrate("init", cwd=repository)

    assert done.returncode == 0, done.stderr
    assert state(repository).keys() == MADE | {"net.py"}
    spec = spec_here(repository)
    assert spec.name == "my-nets"
    assert spec.build == "net:Net"
    assert spec.inputs == ("x:float32[batch,4]",)
    (include,) = yaml.safe_load((repository / ".gitlab-ci.yml").read_text())["include"]
    assert include["inputs"]["name"] == "my-nets"
    assert "input: x:float32[batch,4], from nn.Linear at net.py:6" in done.stderr


def test_doing_it_again_changes_nothing_and_asks_nothing(torchcrate, repository):
    torchcrate("init", "--name", "other", cwd=repository)
    before = state(repository)
    (repository / "second.py").write_text(NET.replace("Net", "Second"))

    done = torchcrate("init", cwd=repository)

    assert done.returncode == 0, done.stderr
    assert state(repository) == before | {"second.py": NET.replace("Net", "Second")}
    assert done.stdout.count("stays as it is") == 4


def test_a_dry_run_shows_every_line_and_writes_none(torchcrate, repository):
    (repository / "README.md").write_text("# Nets\n")

    done = torchcrate("init", "--dry-run", cwd=repository)

    assert done.returncode == 0, done.stderr
    assert state(repository).keys() == {"net.py", "README.md"}
    for line in ("+[tool.torchcrate]", "+include:", "+## The crate", " # Nets"):
        assert line in done.stdout.splitlines()


def test_what_was_there_stays_and_the_rest_is_added_at_the_end(torchcrate, repository):
    before = {
        "README.md": "# Nets\n\nRead me.\n",
        "pyproject.toml": '[project]\nname = "Nets"\nversion = "1.0.0"\n',
        ".gitlab-ci.yml": "lint:\n  script: [make lint]\n",
    }
    for name, text in before.items():
        (repository / name).write_text(text)

    done = torchcrate("init", cwd=repository)

    assert done.returncode == 0, done.stderr
    after = state(repository)
    assert all(after[name].startswith(text) for name, text in before.items())
    assert tomllib.loads(after["pyproject.toml"])["project"]["version"] == "1.0.0"
    assert spec_here(repository).name == "nets"
    assert yaml.safe_load(after[".gitlab-ci.yml"]).keys() == {"lint", "include"}


@pytest.mark.parametrize("there", ["include: [other.yml]\n", "stages: [one]\n"])
def test_a_pipeline_that_cannot_be_added_to_is_left_to_its_owner(torchcrate, repository, there):
    (repository / ".gitlab-ci.yml").write_text(there)

    done = torchcrate("init", cwd=repository)

    assert done.returncode == 0, done.stderr
    assert (repository / ".gitlab-ci.yml").read_text() == there
    assert ".gitlab-ci.yml: yours to change" in done.stdout
    assert "release@" in done.stdout


@pytest.mark.parametrize(
    "origin",
    [
        "https://git.example/a/b.git",
        "https://me:hunter2@git.example/a/b.git",
        "https://me:hunt@er2@git.example/a/b",
        "https://me:hunt/er2@git.example/a/b",
        "git@git.example:a/b.git",
        "ssh://git@git.example:22/a/b.git",
    ],
)
def test_the_readme_names_the_project_and_no_password(torchcrate, repository, origin):
    for command in (["init", "--quiet"], ["remote", "add", "origin", origin]):
        subprocess.run(["git", *command], cwd=repository, check=True)

    torchcrate("init", cwd=repository)

    text = (repository / "README.md").read_text()
    assert "--from https://git.example/a/b\n" in text
    assert "er2" not in text


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"net.py": ""}, "no network that the sources here show: name one with --network"),
        ({"b.py": NET.replace("Net", "B")}, "say it with --network, of b:B, net:Net"),
        ({"net.py": WIDE}, "argument width of Net: nobody is there to ask, so say it with --argu"),
        ({"net.py": NET.replace("(4, 2)", "(n, 2)")}, "so say it with --input"),
        ({"a.pth": "", "b.pth": ""}, "say it with --checkpoint, of a.pth, b.pth"),
        ({"pyproject.toml": "[project"}, "is no TOML"),
    ],
    ids=["no network", "two networks", "an argument", "an input", "two checkpoints", "no TOML"],
)
def test_without_a_terminal_the_option_is_named(torchcrate, repository, files, said):
    for name, text in files.items():
        (repository / name).write_text(text)

    done = torchcrate("init", cwd=repository)

    assert done.returncode == 2
    assert said in done.stderr
    assert not MADE & state(repository).keys() - files.keys()


def test_options_answer_all_that_could_be_asked(torchcrate, repository):
    (repository / "net.py").write_text(WIDE.replace("(4, 2)", "(width, 2)"))
    options = ["--network", "net:Net", "--input", "x:float32[batch,7]", "--argument", "width=7"]
    options += ["--checkpoint", "best.ckpt", "--key", "model", "--component", "git.example/a/b@2"]

    done = torchcrate("init", *options, cwd=repository)

    assert done.returncode == 0, done.stderr
    spec = spec_here(repository)
    assert spec.arguments == {"width": 7}
    assert spec.inputs == ("x:float32[batch,7]",)
    assert (spec.checkpoint, spec.key) == (repository / "best.ckpt", "model")
    assert "component: git.example/a/b@2" in (repository / ".gitlab-ci.yml").read_text()


def test_an_input_that_cannot_be_read_is_one_line(torchcrate, repository):
    done = torchcrate("init", "--input", "x:float99[batch]", cwd=repository)

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 2  # the network, and the fault


def test_at_a_terminal_it_asks_for_what_it_does_not_find(repository):
    """The answers are typed at a terminal; a wrong one is asked for again."""
    (repository / "net.py").write_text(WIDE.replace("(4, 2)", "(width, 2)"))
    (repository / "b.py").write_text(NET.replace("Net", "B"))
    mine, theirs = pty.openpty()
    program = Path(sys.executable).with_name("torchcrate")
    with subprocess.Popen(
        [program, "init"],
        cwd=repository,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.write(mine, b"net:Nat\nnet:Net\nx:float32[batch,5]\n5\n")
        out, _ = process.communicate(timeout=60)
    os.close(mine), os.close(theirs)

    assert process.returncode == 0, out
    assert spec_here(repository).inputs == ("x:float32[batch,5]",)
    assert spec_here(repository).arguments == {"width": 5}


def test_json_tells_each_file_before_and_after(torchcrate, repository):
    done = torchcrate("init", "--json", cwd=repository)

    changes = json.loads(done.stdout)
    assert {change["file"] for change in changes} == MADE
    assert all(change["before"] is None for change in changes)
    assert all((repository / each["file"]).read_text() == each["after"] for each in changes)

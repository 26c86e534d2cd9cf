"""Every command has help with an example; every fault of a user is one line and an exit code."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from torchcrate import errors
from torchcrate.cli import main
from torchcrate.commands import options

ROOT = Path(__file__).parents[1]
COMMANDS = sorted(main.commands)
JOB = "https://gitlab.example.com/group/net/-/jobs/9"  # what the crate of all tests was made by
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module", autouse=True)
def unreachable() -> "Iterator[subprocess.Popen[str]]":
    """A command that asks a registry nobody runs; it tries for a while, beside the other tests."""
    program = Path(sys.executable).with_name("torchcrate")
    address = "http://127.0.0.1:9/api/v4/projects/1"
    with subprocess.Popen(
        [program, "versions", "mnist-net", "--from", address], stderr=subprocess.PIPE, text=True
    ) as process:
        yield process


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_a_line_in_the_readme(name: str) -> None:
    command = main.commands[name]

    assert command.help
    assert f"Example: torchcrate {name}" in command.help
    assert re.search(rf"torchcrate {name}\b", (ROOT / "README.md").read_text())
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help or parameter.show_default, parameter.name


def test_the_version_is_that_of_the_file(torchcrate: Run) -> None:
    done = torchcrate("--version")

    assert (ROOT / "VERSION").read_text().strip() in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_shown_and_exits_with_0(name: str, torchcrate: Run) -> None:
    done = torchcrate(name, "--help")

    assert done.returncode == 0
    assert "Example:" in done.stdout


MISSING = Path("does-not-exist")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("export", "--checkpoint", MISSING / "x.pth", "--version", "1.0.0"), 3, "does not exist"),
        (("export", "--version", "one"), 2, "not a version"),
        (("export", "--version", "1.0.0+cpu"), 2, "not a version"),
        (("export", "--name", "a b", "--version", "1.0.0"), 2, "not a package name"),
        (("export",), 2, "VERSION"),
        (("export", "--tolerance", "onnx", "--version", "1.0.0"), 2, "is not RUNTIME=LIMIT"),
        (("export", "--tolerance", "tpu=1", "--version", "1.0.0"), 2, "names 'tpu', which is none"),
        (("verify", MISSING), 3, "no crate"),
        (("publish", MISSING, "--to", "registry"), 3, "not sealed"),
        (("pull", "mnist-net", "--from", "registry"), 2, "NAME@VERSION"),
        (("pull", "mnist-net@1.0.0", "--from", "registry"), 7, "mnist-net"),
        (("pull", "mnist-net@latest", "--from", "registry"), 7, "no registry"),
        (("versions", "mnist-net"), 2, "CI_API_V4_URL"),
        (("versions", "../x", "--from", "registry"), 2, "not a package name"),
        (("train", "--data-dir", "empty", "--epochs", "1"), 8, "t10k-labels-idx1-ubyte"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else None,
)
def test_what_a_user_can_cause_is_one_line_and_an_exit_code(
    arguments: tuple[str | Path, ...], code: int, words: str, tmp_path: Path, torchcrate: Run
) -> None:
    done = torchcrate(*arguments, cwd=tmp_path, CI_API_V4_URL="", CI_PROJECT_ID="")

    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert done.returncode == code, done.stderr
    assert len(lines) == 1
    assert words in lines[0]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".partial"]


TALKATIVE = """
import subprocess
from torch import nn
print("imported")
subprocess.run(["echo", "asked the machine"])

class Net(nn.Linear):
    def forward(self, x):
        print("called")
        return super().forward(x)
"""


def test_what_a_network_prints_goes_to_stderr_and_stdout_is_json_alone(
    tmp_path: Path, torchcrate: Run
) -> None:
    (tmp_path / "talkative.py").write_text(TALKATIVE)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.torchcrate]\nname = "net"\nbuild = "talkative:Net"\n'
        'inputs = ["x:float32[batch,3]"]\narguments = {in_features = 3, out_features = 2}\n'
    )

    done = torchcrate("doctor", "--quick", "--json", cwd=tmp_path)

    assert json.loads(done.stdout)["network"] == "net"
    for words in ("imported", "asked the machine", "called"):
        assert words in done.stderr


def test_export_leaves_a_folder_that_is_no_crate_alone(tmp_path: Path, torchcrate: Run) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    done = torchcrate("export", "--out", tmp_path)

    assert done.returncode == 3
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_export_as_json_is_the_draft(drafted: Path, shared: Path) -> None:
    said = json.loads((shared / "drafted.json").read_text())

    assert said == json.loads((drafted / "draft.json").read_bytes())
    assert JOB in (drafted / "provenance.json").read_text()


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, torchcrate: Run) -> None:
    """`ulimit -f` stops a write as a full disk does: the file cannot grow past it."""
    program = Path(torchcrate("--version").args[0])
    limited = f"trap '' XFSZ; ulimit -f 60; exec {program} export --out {tmp_path / 'crate'}"

    done = subprocess.run(
        ["bash", "-c", limited], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == errors.FolderError.exit_code, done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: cannot write")
    assert list(tmp_path.iterdir()) == []


def test_exit_codes_are_each_their_own() -> None:
    kinds = errors.CrateError.__subclasses__()

    assert sorted(kind.exit_code for kind in kinds) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    for kind in kinds:
        assert f"{kind.__name__}" in (errors.__doc__ or "")


def test_export_leaves_a_folder_with_somebody_elses_manifest_alone(
    tmp_path: Path, torchcrate: Run
) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "my web app"}')

    done = torchcrate("export", "--out", tmp_path)

    assert done.returncode == 3
    assert (tmp_path / "manifest.json").read_text() == '{"name": "my web app"}'


def test_verify_builds_in_no_folder_that_holds_other_files(
    drafted: Path, tmp_path: Path, torchcrate: Run
) -> None:
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "thesis.txt").write_text("years of work")

    done = torchcrate("verify", drafted, "--build-dir", tmp_path / "build", MNIST_DIR="")

    assert done.returncode == 8
    assert (tmp_path / "build" / "thesis.txt").exists()


def test_an_unreachable_registry_is_one_error_after_bounded_retries(
    unreachable: "subprocess.Popen[str]",
) -> None:
    _, said = unreachable.communicate()

    assert unreachable.returncode == 7
    assert said.splitlines()[-1].startswith("Error: ")
    assert said.count("; try ") == len(said.splitlines()) - 1


def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("torchcrate")
    for asked in (["--help"], ["versions", "x", "--from", tmp_path]):
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                [program, *asked], stdout=full, stderr=subprocess.PIPE, text=True, check=False
            )

        assert done.returncode != 0
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1


def test_results_that_nobody_can_read_do_not_go_to_stderr(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("torchcrate")
    asked = [program, "versions", "x", "--from", tmp_path, "--json"]

    read, closed = (
        subprocess.run(["bash", "-c", f'"$@" {way}', "-", *asked], capture_output=True, check=False)
        for way in ("", ">&-")
    )

    assert read.stdout.strip() == b"[]"
    assert closed.stderr == read.stderr


def test_a_user_without_a_home_goes_on_without_a_cache(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def homeless(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)

    assert options.cache_of("https://git.example/a/b", None, False) is None
    assert "no home directory" in capsys.readouterr().err

"""Every command of INSTRUCTION.md is run as it stands, in the folder where it says."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from torchcrate.model.samples import DRAWINGS
from torchcrate.release.crate import open_sealed
from torchcrate.release.publish import publish

pytestmark = pytest.mark.seconds(50)

HERE = Path(sys.executable).parent
BLOCK = re.compile(r"^```sh (\w+)\n(.*?)^```$", re.M | re.S)

Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def commands(sealed: Path) -> dict[str, str]:
    return dict(BLOCK.findall((sealed / "INSTRUCTION.md").read_text()))


@pytest.fixture
def shell(tmp_path: Path, sealed: Path, gitlab) -> Shell:
    """Run a block where the version is published on a GitLab, with that GitLab's variables."""
    publish(sealed, gitlab.registry())
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("CI_", "GITLAB_"))}
    clean |= {
        "PATH": f"{HERE}:{os.environ['PATH']}",
        "CI_API_V4_URL": f"{gitlab.root}/api/v4",
        "CI_PROJECT_ID": "42",
        "NO_PROXY": "*",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }

    def run(block: str, cwd: Path = tmp_path, **env: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=cwd,
            env=clean | env,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_every_block_is_run_by_a_test_below(commands: dict[str, str], sealed: Path) -> None:
    assert set(commands) == {"pull", "job", "private", "onnx", "torch", "eager", "cpp"}
    assert (sealed / "INSTRUCTION.md").read_text().count("```sh") == len(commands)


@pytest.mark.parametrize(
    ("block", "env"),
    [
        ("pull", {"GITLAB_TOKEN": "glpat-developer"}),
        ("job", {"CI_JOB_TOKEN": "glcbt-job"}),
        ("private", {"GITLAB_TOKEN": "glpat-developer"}),
    ],
)
def test_the_version_is_had_whole_in_each_way(
    commands: dict[str, str],
    shell: Shell,
    sealed: Path,
    tmp_path: Path,
    block: str,
    env: dict[str, str],
) -> None:
    done = shell(commands[block], **env)

    assert done.returncode == 0, done.stderr
    for file in open_sealed(sealed).files:
        pulled = tmp_path / "mnist-net" / file.name
        assert pulled.read_bytes() == (sealed / file.name).read_bytes()
    if block != "pull":
        assert "manifest.json: OK" in done.stdout


@pytest.mark.parametrize("block", ["job", "private"])
def test_without_a_right_token_nothing_is_taken_for_the_version(
    commands: dict[str, str], shell: Shell, block: str
) -> None:
    done = shell(commands[block], CI_JOB_TOKEN="wrong", GITLAB_TOKEN="wrong")

    assert done.returncode != 0
    assert "OK" not in done.stdout


@pytest.mark.parametrize(
    ("block", "selftests"), [("onnx", 1), ("torch", 1), ("eager", 1), ("cpp", 1)]
)
def test_the_programs_run_as_told(
    commands: dict[str, str],
    shell: Shell,
    sealed: Path,
    tmp_path: Path,
    block: str,
    selftests: int,
) -> None:
    crate = Path(shutil.copytree(sealed, tmp_path / "crate"))
    shutil.copy(DRAWINGS / "3-looped-brush.png", crate / "picture.png")

    done = shell(commands[block], cwd=crate)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("selftest passed") == selftests
    if block != "eager":
        assert "Image is a 3" in done.stdout


def test_the_instructions_come_from_content_alone(sealed: Path, drafted: Path) -> None:
    text = (sealed / "INSTRUCTION.md").read_text()

    assert text == (drafted / "INSTRUCTION.md").read_text()
    for word in ("parity", "golden.safetensors`: ", str(Path.home()), str(Path.cwd())):
        assert f"`{word}`:" not in text
    assert "mnist-net" in text
    assert "image: uint8[batch, 1, height, width]" in text


@pytest.mark.parametrize(
    ("block", "env"),
    [("job", {"CI_JOB_TOKEN": "glcbt-job"}), ("private", {"GITLAB_TOKEN": "glpat-developer"})],
)
def test_a_redirect_to_storage_is_followed_without_the_token(
    commands: dict[str, str],
    shell: Shell,
    gitlab,
    sealed: Path,
    tmp_path: Path,
    block: str,
    env: dict[str, str],
) -> None:
    """The storage of the loopback server fails when it sees a token."""
    gitlab.reset(redirect=True)
    publish(sealed, gitlab.registry())

    done = shell(commands[block], **env)

    assert done.returncode == 0, done.stderr
    assert "manifest.json: OK" in done.stdout


def test_the_licence_is_found_where_a_build_left_its_own_notes(tmp_path: Path) -> None:
    notes = tmp_path / "torchcrate.egg-info"
    notes.mkdir()
    (notes / "PKG-INFO").write_text("Name: torchcrate\nVersion: 0\n")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from torchcrate.release.instruction import licence; print(licence().decode())"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "MIT License" in done.stdout, done.stderr

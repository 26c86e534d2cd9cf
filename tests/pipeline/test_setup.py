""".ci/setup installs what a machine lacks and nothing else, or says in one line what to do.

The machine is this one, seen through a PATH that leaves programs out; apt-get is a
script that notes how it was called, and "installs" by putting a program back.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Machine:
    """A folder with .ci/setup in it, and the programs that are installed there."""

    folder: Path
    programs: Path

    def setup(
        self, *parts: str, python: str = sys.executable, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run .ci/setup with these parts."""
        return subprocess.run(
            [".ci/setup", *parts],
            cwd=self.folder,
            env={"PATH": str(self.programs), "PYTHON": python, **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def has_script(self, name: str, text: str) -> None:
        """Put a shell script in the place of a program."""
        (self.programs / name).unlink(missing_ok=True)
        (self.programs / name).write_text(f"#!/bin/bash\n{text}\n")
        (self.programs / name).chmod(0o755)

    def calls_of_apt(self) -> list[str]:
        """Return the arguments of each call of apt-get so far."""
        noted = self.folder / "apt-calls"
        return noted.read_text().splitlines() if noted.exists() else []


@pytest.fixture
def machine_without(tmp_path: Path) -> Callable[..., Machine]:
    """Return a function that makes a machine like this one, less some programs."""

    def made(*missing: str) -> Machine:
        programs = tmp_path / "programs"
        programs.mkdir()
        for folder in reversed(os.environ["PATH"].split(os.pathsep)):
            for program in Path(folder).iterdir() if Path(folder).is_dir() else ():
                (programs / program.name).unlink(missing_ok=True)
                (programs / program.name).symlink_to(program)
        (tmp_path / "checkout/.ci").mkdir(parents=True)
        shutil.copy2(ROOT / ".ci/setup", tmp_path / "checkout/.ci/setup")
        machine = Machine(tmp_path / "checkout", programs)
        put_back = [f"[[ $* == *' {name}'* ]] && mv {name} {programs}/" for name in missing]
        machine.has_script("apt-get", "\n".join(['echo "$*" >>apt-calls', *put_back, ":"]))
        machine.has_script("id", "echo 0")
        for name in missing:
            (programs / name).rename(machine.folder / name)
        return machine

    return made


def test_a_complete_machine_is_left_alone(machine_without):
    machine = machine_without()

    done = machine.setup("cpp")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert machine.calls_of_apt() == []


def test_only_what_is_missing_is_installed_and_only_once(machine_without):
    machine = machine_without("cmake")

    first = machine.setup("cpp")
    second = machine.setup("cpp")

    assert (first.returncode, first.stderr) == (0, "setup: installing cmake\n")
    assert (second.returncode, second.stderr) == (0, "")
    update, install = machine.calls_of_apt()
    assert update == "update"
    assert install.startswith("install -y --no-install-recommends ")
    assert install.endswith(" cmake")


def test_a_header_that_the_compiler_does_not_find_is_missing(machine_without):
    machine = machine_without()
    machine.has_script("c++", "! grep -q 'CLI/CLI.hpp'")

    machine.setup("cpp")

    assert machine.calls_of_apt()[-1].endswith(" libcli11-dev")


def test_without_the_right_to_install_one_line_names_the_command(machine_without):
    machine = machine_without("cmake")
    machine.has_script("id", "echo 1000")
    machine.has_script("sudo", "exit 1")

    done = machine.setup("cpp")

    assert done.returncode == 1
    assert done.stderr == (
        "setup: cmake missing, which only root may install: "
        "sudo apt-get install -y --no-install-recommends cmake\n"
    )
    assert machine.calls_of_apt() == []


def test_a_refusal_of_apt_is_one_line_that_names_its_log(machine_without):
    machine = machine_without("cmake")
    machine.has_script("apt-get", "echo 'E: Unable to locate package' >&2; exit 100")

    done = machine.setup("cpp")

    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == [
        "setup: could not install cmake, see build/apt.log: "
        "try 'apt-get install -y --no-install-recommends cmake' by hand"
    ]
    assert "Unable to locate" in (machine.folder / "build/apt.log").read_text()


@pytest.mark.parametrize(
    ("parts", "asked"),
    [
        (["client"], "install ."),
        (["client", "notify"], "install .[notify]"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_client_gets_the_extras_that_its_job_needs_and_no_others(machine_without, parts, asked):
    machine = machine_without()
    (machine.folder / "VERSION").write_text("1.0.0")
    (machine.folder / "pyproject.toml").write_text("")
    machine.has_script("a-pip", 'echo "$*" >>pip-calls; mkdir torchcrate.egg-info')
    put = 'mkdir -p .venv/bin && cp "$(command -v a-pip)" .venv/bin/pip && cp "$0" .venv/bin/python'
    machine.has_script("a-python", f'if [[ $* == *"-m venv"* ]]; then {put}; fi')

    done = machine.setup(*parts, python="a-python")

    assert done.returncode == 0, done.stderr
    assert (machine.folder / "pip-calls").read_text() == f"{asked}\n"
    assert not (machine.folder / "torchcrate.egg-info").exists()  # as setuptools leaves it


def test_a_python_that_is_too_old_is_one_line(machine_without):
    machine = machine_without()
    machine.has_script("python-of-old", "exit 1")

    done = machine.setup("cpp", python="python-of-old")

    assert done.returncode == 1
    assert done.stderr == (
        "setup: python-of-old is missing or older than 3.11: "
        "install python3.11, or name one with PYTHON=...\n"
    )


@pytest.mark.parametrize(
    ("key", "installed"),
    [
        ({}, "."),
        ({"TORCHCRATE_SIGN_KEY": ""}, "."),
        ({"TORCHCRATE_SIGN_KEY": "sign.pem"}, ".[sign]"),
        ({"TORCHCRATE_VERIFY_KEY": "sign.pub.pem"}, ".[sign]"),
    ],
    ids=str,
)
def test_a_job_that_has_a_key_gets_what_signing_needs(machine_without, key, installed):
    machine = machine_without()
    for name in ("VERSION", "pyproject.toml"):
        (machine.folder / name).write_text("")
    machine.has_script(  # a Python whose `venv` makes a pip that notes how it was called
        "python-of-test",
        """[[ $1 == -m ]] || exit 0
mkdir -p .venv/bin
printf '#!/bin/bash\\n' >.venv/bin/python
printf '#!/bin/bash\\n# %s/.venv/bin/python\\necho "$*" >>pip-calls\\n' "$PWD" >.venv/bin/pip
chmod +x .venv/bin/*""",
    )

    done = machine.setup("client", python="python-of-test", **key)

    assert done.returncode == 0, done.stderr
    assert (machine.folder / "pip-calls").read_text() == f"install {installed}\n"

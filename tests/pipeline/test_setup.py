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


def test_a_python_that_is_too_old_is_one_line(machine_without):
    machine = machine_without()
    machine.has_script("python-of-old", "exit 1")

    done = machine.setup("cpp", python="python-of-old")

    assert done.returncode == 1
    assert done.stderr == (
        "setup: python-of-old is missing or older than 3.11: "
        "install python3.11, or name one with PYTHON=...\n"
    )

"""A pulled crate replays its golden vectors on this machine, with its own program."""

import subprocess
import sys
from pathlib import Path

from torchcrate.errors import ContractError, CrateError, ParityError, RunnerError
from torchcrate.release.manifest import Manifest

_MEANING: dict[int, type[CrateError]] = {  # of the exit codes that all runners share
    kind.exit_code: kind for kind in (ContractError, ParityError, RunnerError)
}


def selftest(crate: Path, manifest: Manifest) -> str:
    """Return what the crate's front door says of its golden vectors, as one line.

    Runs code of the crate in this Python, with the best runtime that is installed.

    Raises:
        RunnerError: If no Python program was pulled, or no runtime is installed for one.
        ParityError: If an answer is off.
        ContractError: If the golden vectors do not fit the model.
    """
    runners = [file for file in manifest.files if file.role == "runner"]
    here = [file for file in runners if (crate / file.name).is_file()]
    if not here:
        raise RunnerError(f"{crate} holds no program for Python: see its INSTRUCTION.md")
    front_door = max(here, key=lambda file: len(file.formats))
    # -B: a crate stays as it was pulled, without __pycache__.
    command = [sys.executable, "-B", str(crate / front_door.name), "--selftest"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0:
        return done.stdout.strip()
    said = done.stderr.strip().splitlines() or [f"no word, exit code {done.returncode}"]
    kind = _MEANING.get(done.returncode, RunnerError)
    raise kind(f"{front_door.name} in {crate}: {said[-1].removeprefix('Error: ')}")

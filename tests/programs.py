"""The programs of a crate, as a consumer runs them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import preloaded

from torchcrate.model.samples import DRAWINGS

RUNNERS = ["run_eager.py", "run_torchscript.py", "run_onnx.py", "run_mnist.py", "run_libtorch"]
BOTH = ["run_torchscript.py", "run_libtorch"]  # languages, on the same model.pt
SET = Path(__file__).parent / "drawings"
SAMPLE = DRAWINGS / "7-hooked-bar-felt.png"

Done = subprocess.CompletedProcess[str]
Ask = Callable[..., Done]  # the name of a program, a crate, options; `cwd` and `stdin` by name


class Runner:
    """One of the programs, run as a consumer runs it, in any folder."""

    def __init__(self, name: str, crate: Path, libtorch: Path) -> None:
        self.crate = crate
        python = name.endswith(".py")
        self.command = [sys.executable, str(crate / name)] if python else [str(libtorch)]
        self.preloaded = name in ("run_eager.py", "run_torchscript.py")
        self.own = [] if python else ["--crate", str(crate)]  # C++ looks in the current folder

    def __call__(
        self, *options: object, cwd: Path = Path(), crate: Path | None = None, stdin: str = ""
    ) -> Done:
        chosen = ["--crate", str(crate)] if crate else self.own
        if self.preloaded:
            return preloaded.run(self.command[1], *chosen, *options, cwd=cwd, stdin=stdin)
        return subprocess.run(
            [*self.command, *chosen, *map(str, options)],
            cwd=cwd,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

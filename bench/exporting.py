"""Making and verifying a crate, against the bare calls that only write its models."""

import sys
import tempfile
from pathlib import Path

from torchcrate.bench.process import Command, process, run
from torchcrate.bench.race import Contestant, Sample, compared, race
from torchcrate.bench.results import Part
from torchcrate.bench.setting import Setting
from torchcrate.model.digits import MNIST

_NETWORK = "torchcrate.model.digits:MNIST"
_NO_DATA = {"MNIST_DIR": ""}  # the default inputs alone
_WHOLE, _BARE = "torchcrate export and verify", "bare torch.jit and torch.onnx.export"


def exporting(setting: Setting) -> Part:
    """Race `export` and `verify` of the default network, C++ built before, against bare calls.

    Raises:
        RunnerError: If the C++ program cannot be built.
    """
    program = Path(sys.executable).with_name("torchcrate")
    build = setting.build.resolve()
    with tempfile.TemporaryDirectory(prefix="torchcrate-") as folder:
        crate, bare = Path(folder) / "crate", Path(folder) / "bare"
        bare.mkdir()
        make: Command = [program, "export", _NETWORK, "--version", "1.0.0", "--out"]
        export: Command = [*make, crate]
        verify: Command = [program, "verify", crate, "--build-dir", build]
        setting.say("export: build C++")
        run(export), run(verify, _NO_DATA)
        code: list[Path | str] = [
            sys.executable,
            "-m",
            "torchcrate.bench.bare_export",
            bare,
            str(MNIST.checkpoint),
        ]
        contestants = [
            _both(export, verify),
            process("torchcrate export", [*make, Path(folder) / "alone"]),
            process(_BARE, code),
        ]
        lanes = race(contestants, setting.rules, setting.turns("export"))
    named = {lane.name: lane for lane in lanes}
    what = "6 export and verify / the bare calls, imports included"
    bar = compared(what, named, _WHOLE, _BARE, 2.0)
    settings = {"rounds": str(setting.rules.rounds)}
    title = "From checkpoint to sealed crate, the C++ program built before"
    return Part("export", title, settings, lanes, (bar,))


def _both(export: Command, verify: Command) -> Contestant:
    """Return a contestant whose turn is one command after the other."""

    def measure() -> Sample:
        one, other = run(export), run(verify, _NO_DATA)
        seconds, cpu = one.seconds + other.seconds, one.cpu + other.cpu
        return Sample((seconds,), cpu, max(one.peak, other.peak))

    return Contestant(_WHOLE, measure)

"""Training against the loop of PyTorch's MNIST example: what accuracy is reached, and when."""

import subprocess
import sys
from pathlib import Path

import msgspec

from torchcrate.bench.race import Rules, judged, order
from torchcrate.bench.results import Curve, Lane, Part, Plot
from torchcrate.bench.setting import Setting
from torchcrate.errors import FolderError, RunnerError

_BAR = 0.992  # of the test images: what the committed network must reach, too
_TUTORIAL = 3  # epochs
_EPOCHS = 6  # of ours, whose learning rate falls to nothing within them
_OURS = "torchcrate"
_THEIRS = "the example's DataLoader loop"


class _Reached(msgspec.Struct):
    seconds: float
    accuracy: float


def data_of(setting: Setting) -> Path:
    """Return the folder with MNIST.

    Raises:
        FolderError: If none is named.
    """
    if setting.data_dir is None:
        raise FolderError("training needs MNIST: name its folder with --data-dir")
    return setting.data_dir


def training(setting: Setting) -> Part:
    """Train both ways in turns and plot accuracy over seconds, start and reading included.

    Args:
        setting: `data_dir` holds MNIST; rounds are at most three.

    Raises:
        FolderError: If no folder with MNIST is named.
        RunnerError: If a training fails.
    """
    data_dir = data_of(setting)
    chosen = setting.rules
    rules = Rules(min(chosen.rounds, 3), 0, chosen.seed)
    programs = {_OURS: ("ours", _EPOCHS), _THEIRS: ("tutorial", _TUTORIAL)}
    reached: dict[str, list[tuple[_Reached, ...]]] = {name: [] for name in programs}
    for number, turns in enumerate(order(list(programs), rules)):
        for name in turns:
            setting.say(f"training: {name}, {number + 1} of {rules.rounds}")
            module, count = programs[name]
            reached[name].append(_trained(module, data_dir, count, chosen.seed + number))
    lanes = tuple(
        Lane(name, tuple((run[-1].seconds,) for run in runs)) for name, runs in reached.items()
    )
    curves = tuple(
        Curve(name, tuple((each.seconds, 100 * each.accuracy) for each in runs[0]))
        for name, runs in reached.items()
    )
    times = [_until(run) / other[-1].seconds for run, other in zip(*reached.values(), strict=True)]
    bar = judged(f"7 {100 * _BAR:.1f} % reached / the example's {_TUTORIAL} epochs", times, 1.0)
    title = "Accuracy on the test images over seconds, start included"
    plot = Plot("training", title, "seconds", "% right", curves, logarithmic=False)
    settings = {"rounds": str(rules.rounds), "epochs": f"{_EPOCHS} and {_TUTORIAL}"}
    words = tuple(
        f"{name}: {', '.join(f'{100 * run[-1].accuracy:.2f} %' for run in runs)} in the end"
        for name, runs in reached.items()
    )
    return Part("training", title, settings, lanes, (bar,), (plot,), words)


def _until(run: tuple[_Reached, ...]) -> float:
    """Return the seconds until the bar of accuracy was reached; infinite if it never was."""
    return next((each.seconds for each in run if each.accuracy >= _BAR), float("inf"))


def _trained(module: str, data_dir: Path, epochs: int, seed: int) -> tuple[_Reached, ...]:
    words = [f"torchcrate.bench.{module}", str(data_dir), str(epochs), str(seed)]
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
        raise RunnerError(f"training failed: {said[-1]}")
    return tuple(msgspec.json.decode(line, type=_Reached) for line in done.stdout.splitlines())

"""From the start of a process to one answer, against processes that only load the runtime."""

import sys
from pathlib import Path

from torchcrate.bench.process import process
from torchcrate.bench.question import python, question, shipped
from torchcrate.bench.race import Contestant, Rules, compared, race
from torchcrate.bench.results import Part
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Programs, Subject

_IMPORTS = {
    "onnx": "import numpy, onnxruntime",
    "torchscript": "import numpy, torch",
    "eager": "import numpy, torch",
}
_BOUNDS = {"onnx": 1.25}  # of the others nothing was promised
_MORE = 3  # times the rounds where there is a bound: such a start is short
_CPP, _EMPTY = "C++ program", "C++ that only loads LibTorch"


def start(subject: Subject, cpp: Programs | None, setting: Setting, scratch: Path) -> Part:
    """Race all programs of a crate, from start to one answer.

    Args:
        subject: The crate.
        cpp: Its C++ program with its baselines; None if it has none.
        setting: How often.
        scratch: A folder for the input, if that is no image, and its answer.

    Raises:
        FolderError: If the input cannot be written.
    """
    asked = question(subject, 1 if subject.reads_images else None, setting, scratch)
    often: list[Contestant] = []
    if cpp:
        command = shipped(subject, cpp.shipped, asked)
        often = [process(_CPP, command, asked.lines), process(_EMPTY, [cpp.empty], 0)]
    once: list[Contestant] = []
    for runtime in subject.runtimes:
        ours = python(subject, runtime, asked)
        imports = [sys.executable, "-c", _needed(subject, runtime)]
        pair = process(f"run_{runtime}", ours, asked.lines), process(_alone(runtime), imports, 0)
        (often if runtime in _BOUNDS else once).extend(pair)
    once_rules, turns = setting.rules, setting.turns("start")
    rules = Rules(_MORE * once_rules.rounds, once_rules.warmup, once_rules.seed)
    lanes = (*race(often, rules, turns), *race(once, once_rules, turns))
    named = {lane.name: lane for lane in lanes}
    what = "one image" if subject.reads_images else "one call"
    bars = []
    if cpp:
        title = f"3 C++: {what} / only loading LibTorch"
        bars.append(compared(title, named, _CPP, _EMPTY, 1.15))
    for runtime in subject.runtimes:
        if runtime in _BOUNDS:
            title, imports_lane = (
                f"3 run_{runtime}: {what} / its imports",
                f"its imports ({runtime})",
            )
            bound = _BOUNDS[runtime]
            bars.append(compared(title, named, f"run_{runtime}", imports_lane, bound))
    settings = {"rounds": str(rules.rounds)}
    return Part(
        "start", f"{what.capitalize()}, process start to answer", settings, lanes, tuple(bars)
    )


def _alone(runtime: str) -> str:
    return f"its imports ({runtime})"


def _needed(subject: Subject, runtime: str) -> str:
    """Return an import of what a runner needs: the runtime, and what reads its input.

    One image is read without Pillow.
    """
    return _IMPORTS[runtime] + ("" if subject.reads_images else ", safetensors.numpy")

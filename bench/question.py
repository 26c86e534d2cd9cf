"""What whole processes are asked: images, or one call's tensors, and by which command."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy

from torchcrate.bench.process import Command
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Images, Subject, images, one_case


@dataclass(frozen=True)
class Question:
    """Words of a command line that ask a program, and how many lines it then answers."""

    words: tuple[str, ...]
    lines: int


def pictures(read: Images, times: int = 1) -> Question:
    """Ask for all images of a folder, so many times over."""
    return Question(("--image", read.pattern) * times, read.count * times)


def picture(read: Images) -> Question:
    """Ask for the first image of a folder, by its name."""
    return Question(("--image", f"{read.folder}/000000.png"), 1)


def question(subject: Subject, count: int | None, setting: Setting, scratch: Path) -> Question:
    """Ask for `count` images, or for one call by its tensors.

    Args:
        subject: Whose programs are asked.
        count: How many images; None for tensors, as of a crate that reads no images.
        setting: Where images are written.
        scratch: A folder for tensors.

    Raises:
        FolderError: If the images cannot be written.
    """
    if count is not None:
        read = images(subject, count, setting.out, setting.data_dir)
        return picture(read) if count == 1 else pictures(read)
    given, out = (scratch / f"{subject.content[:12]}-{name}" for name in ("given", "answer"))
    case = {name: np.array(value, order="C") for name, value in one_case(subject).items()}
    safetensors.numpy.save_file(case, given)
    return Question(("--tensors", str(given), "--out", str(out)), 0)


def shipped(subject: Subject, program: Path, asked: Question) -> Command:
    """Return the command that asks a crate's C++ program."""
    return [program, "--crate", subject.folder.resolve(), *asked.words]


def python(subject: Subject, runtime: str, asked: Question) -> Command:
    """Return the command that asks a crate's Python program."""
    folder = subject.folder.resolve()
    return [sys.executable, subject.program(runtime), "--crate", folder, *asked.words]

"""--image: paths to answers, one by one or many at once; mirrors pictures.cpp.

A model reads images if its only required input means "image" and is
uint8[batch, 1 or 3, height, width] with all values of uint8, batch being free or 1. What is said
of an answer stands in `wording.py`.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from threading import Lock
from time import perf_counter

import numpy as np

from chunks import Checked, ImageError
from contract import Contract, TensorSpec
from images import decode, kind, read
from names import expand
from runtime import USAGE, Array, Model, RunError
from wording import json_lines, lines

BATCH = 128  # images of one size are answered together, at most this many
PIXELS = 2**18  # are decoded and then answered, and what the last image has beyond them
_FIRST = 8  # images are answered together until one knows more, so that answers come early
_QUICK = 2e-4  # seconds an image, within which reading is mostly Python's own work
_TEXT = 2**20  # characters of answers that may wait behind those that are printed

Path = tuple[str, bool]  # a path, and whether it was found or is a pattern that finds nothing
Said = list[tuple[str, str]]  # for each image its line, and why there is no answer; or ""


def paths(patterns: Sequence[str]) -> Iterator[Path]:
    """Yield all paths in the order asked."""
    for pattern in patterns:
        vain = True
        for path in expand(pattern):
            vain = False
            yield path, True
        if vain:
            yield pattern, False


class Pictures:
    """Answers images with a model; may be called from several threads at once."""

    def __init__(self, model: Model, as_json: bool) -> None:
        """Take a model.

        Raises:
            RunError: If it does not read images.
        """
        self._model, self._contract = model, model.contract
        self._input = _image_input(model.contract)
        self._largest = _batch(model.contract, self._input)
        self._as_json, self._say = as_json, json_lines if as_json else lines
        self._fitting: set[tuple[int, int]] = set()  # sizes of images that the contract allows
        self._turn, self._quick = Lock(), True  # whether reading is quick, going by the last run
        self._piece = _FIRST  # how many images to answer at once, going by those before

    def pieces(self, rest: Iterator[Path]) -> Iterator[list[Path]]:
        """Yield the paths in pieces for `answer`: small ones first, and where answers are long."""
        while piece := list(islice(rest, self._piece)):
            yield piece

    def answer(self, piece: Sequence[Path]) -> Said:
        """Return what is said of each path, in order.

        Raises:
            RunError: If the model breaks its contract, or fails.
        """
        said: Said = []
        for group in self._decodable(piece):
            said += self._answer(group)
        longest = max(len(text) for text, _ in said)
        self._piece = max(1, min(BATCH, _TEXT // (longest + 1)))
        return said

    def _decodable(self, piece: Sequence[Path]) -> Iterator[list[tuple[str, Checked | str]]]:
        """Yield runs of paths, PIXELS in each, with the file, or with why it is refused.

        Each operation on a file lets another thread into the interpreter, and waits until it is
        out again. So threads take turns at files that are read quickly, and do all others at once.
        """
        rest = iter(piece)
        while True:
            with self._turn if self._quick else nullcontext():
                began = perf_counter()
                run = self._run_of(rest)
                if not run:
                    return
                self._quick = perf_counter() - began < _QUICK * len(run)
            yield run

    def _run_of(self, rest: Iterator[Path]) -> list[tuple[str, Checked | str]]:
        run: list[tuple[str, Checked | str]] = []
        pixels = 0
        for path, found in rest:
            try:
                if not found:
                    raise ImageError(f"{path}: no such file, and no file matches it")
                png = read(path)
                height, width = png.header.height, png.header.width
                if (height, width) not in self._fitting:
                    self._require_size(path, height, width)
            except ImageError as error:
                run.append((path, str(error)))
                continue
            run.append((path, png))
            pixels += width * height
            if pixels >= PIXELS:
                break
        return run

    def _require_size(self, path: str, height: int, width: int) -> None:
        """Refuse an image that the contract has no room for, and remember one that it has.

        Raises:
            ImageError: If height or width has another size than is fixed, or is beyond its limits.
        """
        axes = self._input.axes
        for name, axis, size in (("height", axes[2], height), ("width", axes[3], width)):
            limits = self._contract.limits(axis)
            if not limits.hold(size):
                raise ImageError(f"{path}: {name} {size}, the contract has {limits}")
        if axes[2] == axes[3] and height != width:
            raise ImageError(f"{path}: width {width}, height has {height}")
        self._fitting.add((height, width))

    def _answer(self, group: Sequence[tuple[str, Checked | str]]) -> Said:
        """Return what is said of each image, answered together with all others of its size."""
        said: Said = [
            self._refusal(path, file) if isinstance(file, str) else ("", "") for path, file in group
        ]
        sizes: dict[tuple[int, int], list[int]] = {}
        for index, (_, file) in enumerate(group):
            if not isinstance(file, str):
                sizes.setdefault(file.header[:2], []).append(index)
        for indices in sizes.values():
            for start in range(0, len(indices), self._largest):
                batch = indices[start : start + self._largest]
                files = [file for _, file in (group[i] for i in batch) if not isinstance(file, str)]
                paths = [group[index][0] for index in batch]
                answers = self._answers(self._stacked(files))
                texts = self._say(self._contract, paths, answers)
                for index, text in zip(batch, texts, strict=True):
                    said[index] = (text, "")
        return said

    def _refusal(self, path: str, reason: str) -> tuple[str, str]:
        return json.dumps({"path": path, "error": reason}) if self._as_json else "", reason

    def _stacked(self, files: Sequence[Checked]) -> Array:
        """Return the pixels of files of one size, (N, channels, H, W)."""
        channels = self._input.axes[1]
        assert isinstance(channels, int)
        kinds: dict[object, list[int]] = {}
        for index, file in enumerate(files):
            kinds.setdefault(kind(file), []).append(index)
        height, width = files[0].header.height, files[0].header.width
        stack = np.empty((len(files), channels, height, width), np.uint8)
        for indices in kinds.values():
            stack[indices] = decode([files[index] for index in indices], channels)
        return stack

    def _answers(self, stack: Array) -> list[Array]:
        """Return the outputs for a stack of N images, each (N, ...)."""
        inputs = self._contract.inputs
        answers = self._model.answer([stack if one is self._input else None for one in inputs])
        batch = self._input.axes[0]
        return [
            answer if spec.axes and spec.axes[0] == batch else answer[None]  # of the only image
            for spec, answer in zip(self._contract.outputs, answers, strict=True)
        ]


def _image_input(contract: Contract) -> TensorSpec:
    """Return the input that images are for.

    Raises:
        RunError: If the model does not read images.
    """
    required = [spec for spec in contract.inputs if not spec.optional]
    spec = required[0] if len(required) == 1 else contract.inputs[0]
    fits = spec.dtype == "uint8" and len(spec.axes) == 4 and spec.axes[1] in (1, 3)
    if len(required) != 1 or spec.bounds or not fits:
        raise RunError(USAGE, "this model does not read images: use --tensors or --json")
    if not contract.limits(spec.axes[0]).hold(1):
        raise RunError(USAGE, "this model does not read one image alone: use --tensors or --json")
    if spec.meaning != "image":
        raise RunError(
            USAGE,
            f"this model does not say that {spec.name} is an image: use --tensors or --json, "
            "or export it with its input described 'as image'",
        )
    return spec


def _batch(contract: Contract, image: TensorSpec) -> int:
    """Return how many images one call of the model may take."""
    word = image.axes[0]
    if not all(spec.axes and spec.axes[0] == word for spec in contract.outputs):
        return 1  # an output is for all of the images together
    return min(BATCH, contract.limits(word).maximum or BATCH)

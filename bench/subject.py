"""The crate that is measured, and the inputs that it is asked with."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from torchcrate.bench.bare import Array
from torchcrate.errors import ContractError, FolderError
from torchcrate.export.artifact import Artifact
from torchcrate.files import writing
from torchcrate.model.cases import example, one, sizes_in
from torchcrate.model.contract import Contract, TensorSpec
from torchcrate.model.samples import pattern

RUNTIMES = ("onnx", "torchscript", "eager")  # in the order in which a crate's front door tries them
_SIDE = 28  # pixels of an image whose size the contract leaves free
_DRAWN_AT_ONCE = 1000


@dataclass(frozen=True)
class Subject:
    """A crate in a folder, sealed or as export left it.

    Attributes:
        folder: Where it lies.
        title: Its name and version.
        content: Its content digest.
        contract: Of its model.
        files: All that it states.
    """

    folder: Path
    title: str
    content: str
    contract: Contract
    files: tuple[Artifact, ...]

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The Python runtimes that it has a program for here: it may be pulled in part."""
        return tuple(each for each in RUNTIMES if self.program(each).is_file())

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of its C++ sources; none if it has no C++ program."""
        names = (file.name for file in self.files if file.role == "source")
        return tuple(name for name in names if (self.folder / name).is_file())

    @property
    def size(self) -> int:
        """Bytes of all its files but the figures of a benchmark."""
        return sum(file.size for file in self.files if file.role != "bench")

    @property
    def reads_images(self) -> bool:
        """Whether its programs take `--image`."""
        return self.contract.image is not None

    @property
    def image(self) -> TensorSpec:
        """The input that images are for.

        Raises:
            ContractError: If it reads none.
        """
        if self.contract.image is None:
            raise ContractError(f"{self.title} reads no images")
        return self.contract.image

    def image_shape(self) -> tuple[int, int, int]:
        """Return channels, height and width of an image that it takes; free sizes are 28.

        Raises:
            ContractError: If it reads none.
        """
        return shape_of(self.image.axes)

    def program(self, runtime: str) -> Path:
        """Return the path of the program that runs it in a Python runtime."""
        return self.folder.resolve() / f"run_{runtime}.py"


@dataclass(frozen=True)
class Programs:
    """Where the C++ programs of a race lie; `cpp.programs` builds them.

    Attributes:
        shipped: The crate's own.
        loop: The loop of PyTorch's C++ tutorial, and its halves alone; says its own times.
        empty: Loads LibTorch and does nothing.
        call: Calls the model warm, by the crate's own sources and bare; says its own times.
    """

    shipped: Path
    loop: Path
    empty: Path
    call: Path


def one_case(subject: Subject) -> dict[str, Array]:
    """Return the inputs of one call, by name in the contract's order: one image, or what fits."""
    if subject.reads_images:
        return {subject.image.name: drawn(1, subject.image_shape())}
    return example(subject.contract)


def batch_axis(contract: Contract) -> str | None:
    """Return the free axis that is the first of every input; None if there is none."""
    first = {given.axes[0] if given.axes else 0 for given in contract.inputs}
    axis = first.pop() if len(first) == 1 else None
    return axis if isinstance(axis, str) else None


def batch_case(subject: Subject, batch: int | None) -> dict[str, Array]:
    """Return the inputs of one call with so many entries."""
    contract = subject.contract
    if batch is not None and subject.reads_images:
        return {subject.image.name: drawn(batch, subject.image_shape())}
    sizes = sizes_in(contract, example(contract))
    axis = batch_axis(contract)
    if batch is not None and axis is not None:
        sizes[axis] = batch
    return one(contract, sizes, seed=1)


def many_cases(subject: Subject, batch: int) -> dict[str, Array] | None:
    """Return the inputs of one call with so many entries; None if none may have as many."""
    axis = batch_axis(subject.contract)
    allowed = axis is not None and subject.contract.sizes_of(axis).hold(batch)
    return batch_case(subject, batch) if allowed else None


def shape_of(axes: Sequence[int | str]) -> tuple[int, int, int]:
    """Return channels, height and width of an image whose batch has these four axes."""
    channels, high, wide = (
        axis if isinstance(axis, int) else free
        for axis, free in zip(axes[1:], (1, _SIDE, _SIDE), strict=True)
    )
    return channels, high, wide


def drawn(count: int, shape: tuple[int, int, int]) -> Array:
    """Return drawn strokes, (count, *shape) uint8, channels alike; the same ones in every call."""
    strokes = pattern("strokes", count, shape[1], shape[2])
    return np.array(np.broadcast_to(strokes, (count, *shape)))


@dataclass(frozen=True)
class Images:
    """PNG files to read.

    Attributes:
        folder: They and nothing else are in it; NUMBER.png.
        names: A file that names one a line.
        count: How many.
        kind: What is to be seen, for people.
    """

    folder: Path
    names: Path
    count: int
    kind: str

    @property
    def pattern(self) -> str:
        """What `--image` is given to read all of them."""
        return f"{glob.escape(str(self.folder))}/*.png"


def images(subject: Subject, count: int, scratch: Path, data_dir: Path | None) -> Images:
    """Write PNG files that `subject` reads into a folder of `scratch`, unless they are there.

    Args:
        subject: Whose programs take `--image`.
        count: How many; the training images over and over, or drawn strokes.
        scratch: Where their folder lies.
        data_dir: MNIST in torchvision's layout, or None for drawn strokes.

    Raises:
        FolderError: If MNIST cannot be read or `scratch` cannot be written.
    """
    shape = subject.image_shape()
    digits = None
    if data_dir and shape == (1, 28, 28):
        from torchcrate.model import mnist  # torch, which takes a second to import

        digits = mnist.load(data_dir, train=True)[0].numpy()
    kind = "MNIST" if digits is not None else "drawn"
    folder = (scratch / f"{kind.lower()}-{'x'.join(map(str, shape))}-{count}").resolve()
    names = folder.with_suffix(".txt")
    made = Images(folder, names, count, f"{kind} {shape[2]}x{shape[1]}")
    paths = "".join(f"{folder}/{number:06}.png\n" for number in range(count))
    if names.is_file() and names.read_text() == paths:  # written last
        return made
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for start in range(0, count, _DRAWN_AT_ONCE):
            part = drawn(min(_DRAWN_AT_ONCE, count - start), shape) if digits is None else digits
            for number in range(start, min(start + _DRAWN_AT_ONCE, count)):
                _write(folder / f"{number:06}.png", part[number % len(part)])
        names.write_text(paths)
    return made


def _write(path: Path, pixels: Array) -> None:
    """Write pixels, (channels, H, W) uint8, as a PNG."""
    if len(pixels) not in (1, 3):
        raise FolderError(f"{path} cannot hold {len(pixels)} channels: a PNG has 1 or 3")
    image = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(image)).save(path)

"""The MNIST images, read by torchvision, which is imported only here."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from torchcrate.errors import FolderError
from torchcrate.files import reading
from torchcrate.model.operators import declare_missing_operators
from torchcrate.model.spec import Cases

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def load(data_dir: Path, *, train: bool, download: bool = False) -> tuple[Tensor, Tensor]:
    """Return the training or the test images with their labels.

    Args:
        data_dir: A folder in torchvision's layout, with the four files in MNIST/raw.
        train: The 60,000 training images, else the 10,000 test images.
        download: Fetch the files when they are absent.

    Returns:
        Images (N, 1, 28, 28) uint8 in [0, 255], and labels (N,) int64 in [0, 9].

    Raises:
        FolderError: If torchvision is missing, or the files are neither there nor to be had.
    """
    declare_missing_operators()
    try:
        from torchvision import datasets
    except ImportError as error:
        raise FolderError("MNIST needs torchvision: pip install 'torchcrate[train]'") from error
    fetch = download and not present(data_dir)
    try:
        mnist = datasets.MNIST(str(data_dir), train=train, download=fetch)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        tried = " and it cannot be downloaded" if fetch else ""
        raise FolderError(
            f"{data_dir} has no readable MNIST{tried}: "
            f"put {', '.join(FILES)} into {data_dir / 'MNIST' / 'raw'}"
        ) from error
    return mnist.data.unsqueeze(1), mnist.targets


def present(data_dir: Path) -> bool:
    """Whether all four files lie in `data_dir`."""
    return all((data_dir / "MNIST" / "raw" / name).is_file() for name in FILES)


def digests(data_dir: Path) -> dict[str, str]:
    """Return the sha256 of the four files in `data_dir`, by name; empty if one is not there.

    Raises:
        FolderError: If one cannot be read.
    """
    found: dict[str, str] = {}
    for name in FILES if present(data_dir) else ():
        path = data_dir / "MNIST" / "raw" / name
        with reading(path), path.open("rb") as file:
            found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def test_images(data_dir: Path) -> Cases:
    """Return the 10,000 test images in batches of 1,000, as cases.

    Raises:
        FolderError: If the data cannot be read.
    """
    images = load(data_dir, train=False)[0].numpy()
    return {
        f"mnist-{start:05}": {"image": images[start : start + 1000]}
        for start in range(0, 10_000, 1000)
    }


def test_labels(data_dir: Path) -> dict[str, NDArray[np.int64]]:
    """Return the digits of `test_images`, (1000,) for each case.

    Raises:
        FolderError: If the data cannot be read.
    """
    labels = load(data_dir, train=False)[1].numpy()
    return {f"mnist-{start:05}": labels[start : start + 1000] for start in range(0, 10_000, 1000)}


def calibration(data_dir: Path) -> Cases:
    """Return the first 1,000 training images, and in every second batch their negatives.

    Raises:
        FolderError: If the data cannot be read.
    """
    images = load(data_dir, train=True)[0].numpy()
    batches = {f"train-{start:05}": images[start : start + 100] for start in range(0, 1000, 100)}
    return {
        name: {"image": 255 - batch if number % 2 else batch}
        for number, (name, batch) in enumerate(batches.items())
    }

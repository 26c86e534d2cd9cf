"""Training is seeded, leaves whole checkpoints only, and says what it misses."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from torchcrate.errors import ContractError, CrateError, FolderError, UsageError
from torchcrate.export.artifact import sha256_of
from torchcrate.model import mnist
from torchcrate.model.digits import MNIST
from torchcrate.model.train import Epoch, Settings, train
from torchcrate.model.weights import load

SHORT = Settings(epochs=1, validation=1_000)
HEADER = {"images": 16, "labels": 8}  # bytes before the data of an IDX file
SIZE = {"images": 28 * 28, "labels": 1}


@pytest.fixture(scope="module")
def some_digits(mnist_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 6,000 training and 1,000 test images, in MNIST's own files."""
    folder = tmp_path_factory.mktemp("some")
    (folder / "MNIST" / "raw").mkdir(parents=True)
    for name in mnist.FILES:
        kind = "images" if "images" in name else "labels"
        count = 6_000 if name.startswith("train") else 1_000
        whole = (mnist_dir / "MNIST" / "raw" / name).read_bytes()
        data = whole[HEADER[kind] :][: count * SIZE[kind]]
        head = whole[:4] + count.to_bytes(4, "big") + whole[8 : HEADER[kind]]
        (folder / "MNIST" / "raw" / name).write_bytes(head + data)
    return folder


@pytest.fixture(scope="module")
def trained(some_digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "net.pth"
    train(some_digits, out, SHORT)
    return out


def test_the_same_seed_gives_the_same_bytes(
    trained: Path, some_digits: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again.pth"

    record = train(some_digits, again, SHORT)

    assert sha256_of(again) == sha256_of(trained) == record.sha256
    assert record.data == mnist.digests(some_digits)
    assert set(record.data) == set(mnist.FILES)


def test_another_seed_gives_other_bytes(trained: Path, some_digits: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pth"

    train(some_digits, other, Settings(epochs=1, validation=1_000, seed=2))

    assert sha256_of(other) != sha256_of(trained)


def test_each_epoch_is_told(some_digits: Path, tmp_path: Path) -> None:
    told: list[Epoch] = []

    train(
        some_digits,
        tmp_path / "net.pth",
        Settings(epochs=2, validation=1_000),
        on_epoch=told.append,
    )

    assert [epoch.number for epoch in told] == [1, 2]
    assert told[1].loss < told[0].loss


def test_an_interrupted_run_leaves_the_last_good_checkpoint(
    some_digits: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net.pth"
    shutil.copy(MNIST.checkpoint.with_suffix(".json"), out.with_suffix(".json"))
    command = [Path(sys.executable).with_name("torchcrate"), "train", "--data-dir", some_digits]
    command += ["--epochs", "100000", "--out", out]  # it is not done before it is interrupted
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 300
        while not out.exists() and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)

    assert running.returncode == 130
    assert "Traceback" not in said
    assert load(MNIST, out)
    assert [path.name for path in tmp_path.iterdir()] == ["net.pth"]


def test_a_mistyped_data_folder_stops_a_verification_without_a_download(
    drafted: Path, tmp_path: Path, torchcrate: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = torchcrate("verify", drafted, "--data-dir", tmp_path / "mnits")

    assert done.returncode == FolderError.exit_code
    assert "mnits has no readable MNIST: put train-images" in done.stderr
    assert not (tmp_path / "mnits").exists()


def test_missing_data_names_the_four_files_and_their_place(
    tmp_path: Path, torchcrate: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    with pytest.raises(FolderError) as caught:
        mnist.load(tmp_path, train=True)

    for name in mnist.FILES:
        assert name in str(caught.value)
    assert str(tmp_path / "MNIST" / "raw") in str(caught.value)


@pytest.mark.parametrize(
    ("out", "error"), [("net.json", UsageError), ("thesis.pth", ContractError)]
)
def test_training_does_not_begin_where_its_record_would_overwrite_something(
    some_digits: Path, tmp_path: Path, out: str, error: type[CrateError]
) -> None:
    (tmp_path / "thesis.json").write_text('{"chapters": 7}')

    with pytest.raises(error, match="json"):
        train(some_digits, tmp_path / out, Settings(epochs=1, validation=1_000))

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.json"]
    assert (tmp_path / "thesis.json").read_text() == '{"chapters": 7}'

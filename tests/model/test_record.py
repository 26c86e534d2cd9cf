"""The committed checkpoint has a true record, and reads MNIST as well as the record says."""

import json
from pathlib import Path

import pytest
import torch

from torchcrate.errors import ContractError
from torchcrate.export.artifact import sha256_of
from torchcrate.model import mnist
from torchcrate.model.digits import MNIST
from torchcrate.model.record import Record
from torchcrate.model.weights import load


def committed() -> Record:
    record = Record.beside(MNIST.checkpoint, sha256_of(MNIST.checkpoint))
    assert record is not None
    return record


def test_the_committed_record_speaks_of_the_committed_weights_and_holds_the_bar() -> None:
    assert committed().accuracy >= 0.992


def test_the_committed_network_reads_mnist_as_its_record_says(mnist_dir: Path) -> None:
    images, labels = mnist.load(mnist_dir, train=False)
    network = load(MNIST).module

    with torch.inference_mode():
        said = torch.cat([network(part) for part in images.split(1000)]).argmax(1)

    right = int((said == labels).sum())
    assert abs(right / 10_000 - committed().accuracy) <= 0.0002  # processors differ in last digits
    assert right >= 9_920


def test_the_committed_record_names_the_very_data(mnist_dir: Path) -> None:
    assert committed().data == mnist.digests(mnist_dir)


def test_a_record_from_before_data_was_recorded_is_read(tmp_path: Path) -> None:
    value = json.loads(MNIST.checkpoint.with_suffix(".json").read_text())
    del value["data"]
    (tmp_path / "net.json").write_text(json.dumps(value))

    record = Record.beside(tmp_path / "net.pth", value["sha256"])

    assert record is not None
    assert record.data == {}


def test_a_record_of_other_weights_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "net.pth"
    committed().write(checkpoint)

    with pytest.raises(ContractError, match="other weights"):
        Record.beside(checkpoint, "0" * 64)


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text(json.dumps({"sha256": 3}))

    with pytest.raises(ContractError, match="not a training record"):
        Record.beside(tmp_path / "net.pth", "0" * 64)


def test_no_record_is_no_error(tmp_path: Path) -> None:
    assert Record.beside(tmp_path / "net.pth", "0" * 64) is None

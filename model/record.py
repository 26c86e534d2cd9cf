"""The small record beside a checkpoint: how it was trained and how well it reads."""

from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from torchcrate.errors import ContractError
from torchcrate.files import reading, write_whole, writing


@dataclass(frozen=True)
class Record:
    """What is known of one checkpoint file.

    Attributes:
        sha256: Of the checkpoint that this record speaks of.
        accuracy: Share of the 10,000 test images read right, in [0, 1].
        loss: Mean negative log-probability of their labels.
        validation: Accuracy on the held-out part of the training set, by which
            the epoch and the settings were chosen.
        settings: Every number that training depends on, the seed among them.
        versions: Of Python and torch.
        data: sha256 of each file of the data set, by name; empty in older records.
    """

    sha256: str
    accuracy: float
    loss: float
    validation: float
    settings: dict[str, float]
    versions: dict[str, str]
    data: dict[str, str] = field(default_factory=dict)

    def write(self, checkpoint: Path) -> None:
        """Write the record beside `checkpoint`, as NAME.json for NAME.pth."""
        text = msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
        write_whole(checkpoint.with_suffix(".json"), text)

    @staticmethod
    def remove(checkpoint: Path) -> None:
        """Remove the record of an earlier `checkpoint`, if there is one."""
        path = checkpoint.with_suffix(".json")
        with writing(path):
            path.unlink(missing_ok=True)

    @classmethod
    def beside(cls, checkpoint: Path, sha256: str) -> "Record | None":
        """Return the record of `checkpoint`, None if there is none.

        Raises:
            ContractError: If it is no record, or speaks of other bytes than `sha256`.
        """
        path = checkpoint.with_suffix(".json")
        if not path.exists():
            return None
        with reading(path):
            data = path.read_bytes()
        try:
            record = msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ContractError(f"{path} is not a training record: {error}") from error
        if record.sha256 != sha256:
            raise ContractError(
                f"{path} speaks of other weights than {checkpoint.name}: "
                "remove it, or train again to write both"
            )
        return record

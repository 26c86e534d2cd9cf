"""The small record beside a checkpoint: how it was trained and how well it reads."""

from dataclasses import dataclass, field
from pathlib import Path

from torchcrate.errors import ContractError, UsageError
from torchcrate.files import reading, write_whole, writing
from torchcrate.values import decode, encode


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
        write_whole(checkpoint.with_suffix(".json"), encode(self))

    @classmethod
    def require_place(cls, checkpoint: Path) -> Path:
        """Return where the record of `checkpoint` goes, be it free or that of an earlier one.

        Raises:
            UsageError: If the checkpoint itself has that name.
            ContractError: If a file is there that is no record: somebody needs it.
        """
        path = checkpoint.with_suffix(".json")
        if path == checkpoint:
            raise UsageError(f"{path} is where a checkpoint's record goes: name it NAME.pth")
        if path.exists():
            with reading(path):
                decode(path.read_bytes(), cls, f"{path} is in the way, it is no training record")
        return path

    @classmethod
    def remove(cls, checkpoint: Path) -> None:
        """Remove the record of an earlier `checkpoint`, if there is one.

        Raises:
            As `require_place`.
        """
        path = cls.require_place(checkpoint)
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
        record = decode(data, cls, f"{path} is not a training record")
        if record.sha256 != sha256:
            raise ContractError(
                f"{path} speaks of other weights than {checkpoint.name}: "
                "remove it, or train again to write both"
            )
        return record

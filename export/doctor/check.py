"""What the doctor says: one line a check."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What was looked at, in one word.
        state: "fault" if a format that the crate must have is wrong or impossible by it, "note"
            if somebody should know of it.
        what: What was found.
        where: The part of the network and the line of the user's code, as far as they are known.
        do: What to change; "" if nothing need be.
        detail: All that torch says, many lines; "" if that is no more.
    """

    name: str
    state: State
    what: str
    where: str = ""
    do: str = ""
    detail: str = ""

    def words(self) -> str:
        """Return the check on one line."""
        where = f"  where: {self.where}" if self.where else ""
        do = f"  do: {self.do}" if self.do else ""
        return f"{self.state:5}  {self.name:11}  {self.what}{where}{do}"


@dataclass(frozen=True)
class Diagnosis:
    """All that was found of one network.

    Attributes:
        network: The name of its spec.
        checks: In the order in which they were made; after one that leaves nothing to ask there
            are no more.
    """

    network: str
    checks: tuple[Check, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """The names of the checks that found a fault."""
        return tuple(check.name for check in self.checks if check.state == "fault")


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names for people, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most])}{more}"

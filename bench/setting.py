"""How large a benchmark is, and where it may write."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torchcrate.bench.race import Rules

# Times as many turns of warm calls, and as short: what disturbs the machine disturbs all alike.
_TURNS = 5


@dataclass(frozen=True)
class Setting:
    """What every race of one benchmark has in common.

    Attributes:
        out: Where results and the files that are read lie.
        build: Where the crate's C++ program is built.
        data_dir: MNIST in torchvision's layout; None for drawn images.
        files: PNG files that are read whole.
        many: Images for which memory is held against that for ten.
        rules: How often each is asked.
        calls: Warm calls a turn.
        say: Called with a few words before each step.
    """

    out: Path
    build: Path
    data_dir: Path | None
    files: int
    many: int
    rules: Rules
    calls: int
    say: Callable[[str], None]

    def warm(self) -> tuple[Rules, int]:
        """Return the rules of a race of warm calls, and the calls of one turn."""
        rules = Rules(_TURNS * self.rules.rounds, self.rules.warmup, self.rules.seed)
        return rules, max(1, self.calls // _TURNS)

    def turns(self, part: str) -> Callable[[str], None]:
        """Return what a race of `part` calls before each turn."""
        return lambda name: self.say(f"{part}: {name}")

"""What a benchmark found: every measurement, what was judged, and on what machine."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from torchcrate.values import decode, encode


@dataclass(frozen=True)
class Spread:
    """How values lie: their number, and the values below which 10, 50, 90 and 99 % of them are."""

    count: int
    low: float
    median: float
    high: float
    p99: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Describe at least one value; between two ranks the quantile is linear."""
        ordered = sorted(values)

        def at(share: float) -> float:
            place = share * (len(ordered) - 1)
            below = math.floor(place)
            above = min(below + 1, len(ordered) - 1)
            return ordered[below] + (place - below) * (ordered[above] - ordered[below])

        return cls(len(ordered), at(0.1), at(0.5), at(0.9), at(0.99))


@dataclass(frozen=True)
class Lane:
    """What one contestant showed, one entry a round; all are empty if it failed.

    Attributes:
        name: Of the contestant, the only one of its part.
        rounds: Seconds of each measurement of each round: one for a whole process, one a call
            for warm calls.
        cpu: Core-seconds of its process, or of all calls of the round.
        peak: The most memory that its process held, in bytes; empty for calls.
        first: Seconds from its start to the first byte of an answer; empty for calls.
        failure: Why it is out of the race, in one line; empty if it is not.
    """

    name: str
    rounds: tuple[tuple[float, ...], ...] = ()
    cpu: tuple[float, ...] = ()
    peak: tuple[int, ...] = ()
    first: tuple[float, ...] = ()
    failure: str = ""

    def joined(self, later: "Lane") -> "Lane":
        """Return it with the rounds of a later race; one that failed in either has failed."""
        if self.failure or later.failure:
            return Lane(self.name, failure=self.failure or later.failure)
        return Lane(
            self.name,
            self.rounds + later.rounds,
            self.cpu + later.cpu,
            self.peak + later.peak,
            self.first + later.first,
        )

    @property
    def seconds(self) -> tuple[float, ...]:
        """Every measurement of every round."""
        return tuple(seconds for each in self.rounds for seconds in each)

    @property
    def cores(self) -> float | None:
        """How many cores it kept busy on average; None if that was not measured."""
        return sum(self.cpu) / sum(self.seconds) if self.cpu else None

    @property
    def medians(self) -> tuple[float, ...]:
        """The median of each round: what ratios inside a round are made of."""
        return tuple(statistics.median(each) for each in self.rounds)


@dataclass(frozen=True)
class Bar:
    """One figure that is judged.

    Attributes:
        what: What is measured, for people.
        found: How the figure lies over the rounds; null if there is none.
        bound: What its median is held to.
        least: Whether `bound` is the least allowed; else it is the most.
        unit: "x" for a ratio of two contestants of one round, else what it counts.
        holds: Whether the median keeps to the bound.
        note: What else people must know, say why there is no figure.
    """

    what: str
    found: Spread | None
    bound: float
    least: bool
    unit: str
    holds: bool
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """One line of a plot: x and y of each point, x growing."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Plot:
    """Curves over the same two axes.

    Attributes:
        name: One word, of which a file is named.
        title: What is to be seen.
        x: What the x axis counts, with its unit.
        y: Likewise.
        curves: What is drawn.
        logarithmic: Whether both axes are; else neither is.
    """

    name: str
    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    logarithmic: bool = True


@dataclass(frozen=True)
class Part:
    """One race: what was asked, and what came out.

    Attributes:
        name: One word, of which files are named.
        title: What was asked of whom.
        settings: What the figures depend on, by name: files, rounds, threads.
        lanes: One for each contestant.
        bars: What was judged.
        plots: What grows with what.
        words: Sentences on what bounds the figures.
    """

    name: str
    title: str
    settings: dict[str, str]
    lanes: tuple[Lane, ...] = ()
    bars: tuple[Bar, ...] = ()
    plots: tuple[Plot, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Results:
    """The content of bench.json; `Results.parse(r.dump()) == r` holds.

    Attributes:
        crate: Name and version of what was measured.
        content: Its content digest, which no figure is a part of.
        machine: Processor, cores, versions; see `machine.described`.
        seed: Of the order of the contestants.
        parts: One for each race.
    """

    crate: str
    content: str
    machine: dict[str, str]
    seed: int
    parts: tuple[Part, ...]

    def dump(self) -> bytes:
        """Return the results as JSON, a line a value for people, ending in a newline."""
        return encode(self, indent=1)

    @classmethod
    def parse(cls, data: bytes) -> "Results":
        """Read what `dump` wrote.

        Raises:
            ContractError: If `data` is not such JSON.
        """
        return decode(data, cls, "not the results of a benchmark")

"""Where values lie along an axis, and which of them are written beside it."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_STEPS = (1.0, 2.0, 5.0)
_MOST = 7  # ticks


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high` laid out from `start` to `end`, in units of the picture."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool

    @classmethod
    def over(
        cls, values: Iterable[float], start: float, end: float, *, logarithmic: bool
    ) -> "Axis":
        """Return an axis that holds all `values`, with some room about them.

        Raises:
            ValueError: If there are none, or a logarithmic axis must hold one below or at 0.
        """
        every = list(values)
        low, high = min(every), max(every)
        if logarithmic:
            if low <= 0:
                raise ValueError(f"a logarithmic axis holds no {low}")
            room = (high / low) ** 0.04 if high > low else 1.5
            return cls(low / room, high * room, start, end, True)
        room = 0.04 * (high - low) or abs(high) / 2 or 1.0
        return cls(low - room, high + room, start, end, False)

    def at(self, value: float) -> float:
        """Return where `value` lies."""
        scale: Callable[[float], float] = math.log if self.logarithmic else float
        share = (scale(value) - scale(self.low)) / (scale(self.high) - scale(self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Return round values within the axis, at most seven, the least first."""
        return self._decades() if self.logarithmic else self._even()

    def _decades(self) -> list[float]:
        least, most = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for steps in (_STEPS, (1.0, 3.0), (1.0,)):
            every = [step * 10.0**power for power in range(least, most + 1) for step in steps]
            inside = [value for value in every if self.low <= value <= self.high]
            if len(inside) <= _MOST:
                return inside if len(inside) > 1 else self._even()  # within a decade
        return inside[:: math.ceil(len(inside) / _MOST)]

    def _even(self) -> list[float]:
        power = 10.0 ** math.floor(math.log10((self.high - self.low) / _MOST))
        step = next(
            each
            for each in (power * step for step in (*_STEPS, 10.0))
            if (self.high - self.low) / each <= _MOST
        )
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]

"""Ranges of versions, as package managers write them: `1`, `1.2`, `^1.2`, `>=1,<2`."""

import re
from dataclasses import dataclass

import semver

from torchcrate.errors import UsageError

_LONGEST = 255  # characters; a version has no more
_NUMBER = r"(0|[1-9][0-9]*)"
_TERM = re.compile(
    rf"(\^|[<>]=?|)\s*{_NUMBER}(?:\.{_NUMBER}(?:\.{_NUMBER}(-[0-9A-Za-z.-]+)?)?)?", re.ASCII
)


@dataclass(frozen=True)
class Range:
    """The versions that hold every bound.

    Attributes:
        bounds: Comparisons with whole versions, as `semver.Version.match` reads them.
    """

    bounds: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Range":
        """Read terms that a comma parts; what a version leaves out is open.

        `1.2` is any 1.2.N, `>1.2` what comes after all of them, and `^1.2` what may replace 1.2.0:
        the first number that is not 0 stays.

        Raises:
            UsageError: If it is no range.
        """
        terms = [_TERM.fullmatch(term.strip()) for term in text[: _LONGEST + 1].split(",")]
        bounds = [bound for term in terms if term for bound in _bounds(term)]
        sound = all(semver.Version.is_valid(bound.lstrip("<>=")) for bound in bounds)
        if len(text) > _LONGEST or None in terms or not sound:
            raise UsageError(
                f"{text[:99]!r} is no range of versions: write 1.2, ^1.2.3 or '>=1.2,<3'"
            )
        return cls(tuple(bounds))

    def holds(self, version: str) -> bool:
        """Return whether `version` is inside; a pre-release of what a `<` names is not below it."""
        found = semver.Version.parse(version)
        return all(
            (found.finalize_version() if _is_end(bound) else found).match(bound)
            for bound in self.bounds
        )


def _is_end(bound: str) -> bool:
    """Return whether a bound ends a range before a release, and so before its pre-releases."""
    return bound[0] == "<" and bound[1] != "=" and "-" not in bound


def _bounds(term: re.Match[str]) -> list[str]:
    """Return the comparisons that a term of a range means."""
    sign, *numbers, pre = term.groups()
    given = [int(number) for number in numbers if number is not None]
    low = _version(given) + (pre or "")
    after = _following(given, len(given) - 1)  # of all that the term's version covers
    whole = len(given) == 3
    match sign:
        case "^":
            first = next((at for at, number in enumerate(given) if number), len(given) - 1)
            return [f">={low}", f"<{_following(given, first)}"]
        case ">":
            return [f">{low}" if whole else f">={after}"]
        case "<=":
            return [f"<={low}" if whole else f"<{after}"]
        case "":
            return [f">={low}", f"<={low}" if whole else f"<{after}"]
        case _:
            return [f"{sign}{low}"]


def _following(numbers: list[int], at: int) -> str:
    """Return the first version in which the number at this place is another."""
    return _version([*numbers[:at], numbers[at] + 1])


def _version(numbers: list[int]) -> str:
    return ".".join(map(str, [*numbers, 0, 0][:3]))

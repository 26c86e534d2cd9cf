"""A range holds the versions that a person who knows other package managers expects."""

import pytest

from torchcrate.errors import UsageError
from torchcrate.release.ranges import Range

EVERY = (
    *("0.0.3", "0.0.4", "0.1.0", "0.2.0", "0.2.9", "0.3.0", "1.0.0-dev.1", "1.0.0", "1.0.1"),
    *("1.2.0-dev.7", "1.2.0", "1.2.3", "1.3.0", "1.10.0", "2.0.0-dev.1", "2.0.0", "3.1.4"),
)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("1", "1.0.0", "1.10.0"),
        ("1.2", "1.2.0", "1.2.3"),
        ("0", "0.0.3", "0.3.0"),
        ("^1", "1.0.0", "1.10.0"),
        ("^1.2", "1.2.0", "1.10.0"),
        ("^1.2.3", "1.2.3", "1.10.0"),
        ("^0.2", "0.2.0", "0.2.9"),
        ("^0.0.3", "0.0.3", "0.0.3"),
        ("^0.0", "0.0.3", "0.0.4"),
        ("^0", "0.0.3", "0.3.0"),
        ("^1.2.0-dev.7", "1.2.0-dev.7", "1.10.0"),
        (">=1,<2", "1.0.0", "1.10.0"),
        (">=1.2, <2", "1.2.0", "1.10.0"),
        (">1", "2.0.0", "3.1.4"),
        (">1.2", "1.3.0", "3.1.4"),
        (">1.2.0", "1.2.3", "3.1.4"),
        (">= 1.2.3", "1.2.3", "3.1.4"),
        ("<=1", "0.0.3", "1.10.0"),
        ("<=1.2.0", "0.0.3", "1.2.0"),
        ("<1", "0.0.3", "0.3.0"),
        ("<1.2.0,>=1.0.1", "1.0.1", "1.0.1"),
        (">2.0.0-dev.1,<3", "2.0.0", "2.0.0"),
        ("<2.0.0-dev.2,>=1.10", "1.10.0", "2.0.0-dev.1"),
        (">=1,1.2.3", "1.2.3", "1.2.3"),
    ],
)
def test_a_range_holds_all_from_the_first_to_the_last_and_nothing_else(text, first, last):
    found = [version for version in EVERY if Range.parse(text).holds(version)]

    assert found == list(EVERY[EVERY.index(first) : EVERY.index(last) + 1])


def test_a_range_may_hold_nothing():
    assert not any(Range.parse(">=2,<1").holds(version) for version in EVERY)


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "1,", "^", ">=", "x", "1.x", "v1", "01", "1.2.3.4", "=1", "==1.0.0", "!=1"),
        *("^1.2-dev", "1 2", ">=1 <2", "^1.2.3-", "^1.2.3-01", "1.0.0+build", "٣", "1" * 9999),
    ],
)
def test_what_is_no_range_is_one_line(text):
    with pytest.raises(UsageError, match="no range of versions") as caught:
        Range.parse(text)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200

"""Notes are generated: what changed since the version before, and how to pull."""

from dataclasses import replace
from datetime import UTC, datetime

import httpx
import markdown
import pytest

from torchcrate.errors import UsageError
from torchcrate.model.digits import DIGITS
from torchcrate.release.announce.notes import notes, plain, read_changelog, section
from torchcrate.release.manifest import MANIFEST
from torchcrate.release.publish import publish
from torchcrate.release.registry import NotFoundError
from torchcrate.release.yank import undo, yank

CHANGELOG = """# Changelog

## Unreleased

## [1.1.0] - 2026-01-02

### Fixed

- Reads sevens.

## 1.0.0

- The first.

## 0.9.0-rc.1
"""


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("1.1.0", "### Fixed\n\n- Reads sevens."),
        ("1.0.0", "- The first."),
        ("0.9.0-rc.1", ""),
        ("0.9.0", ""),
        ("1.1.00", ""),
        ("1.0.0-dev.1", ""),
    ],
)
def test_the_section_of_exactly_this_version_is_found(version, said):
    assert section(CHANGELOG, version) == said
    assert section(CHANGELOG.replace("## 1.0.0", "## v1.0.0"), version) == said


def test_the_projects_own_changelog_has_a_section_for_its_first_release(request):
    text = read_changelog(request.config.rootpath / "CHANGELOG.md")

    assert section(text, "0.1.0").startswith("### Added")


def test_a_missing_changelog_says_nothing(tmp_path):
    assert read_changelog(tmp_path / "CHANGELOG.md") == ""


def test_the_first_version_is_told_without_a_comparison(golden_crate, registry):
    publish(golden_crate("1.0.0"), registry)

    told = notes("mnist-net@1.0.0", registry, CHANGELOG)

    assert (told.title, told.before) == ("mnist-net 1.0.0", "")
    assert told.body.startswith("- The first.")
    assert "- accuracy: 99.30 %" in told.body
    assert "Compared" not in told.body
    assert f"torchcrate pull mnist-net@1.0.0 --from {registry.where}" in told.body


def test_a_later_version_is_compared_with_the_one_before(golden_crate, registry):
    metrics = {"accuracy": 0.995, "latency_ms": 1.5}
    publish(golden_crate("1.0.0", metrics={"accuracy": 0.993, "latency_ms": 2.0}), registry)
    publish(golden_crate("2.0.0", metrics=metrics, contract=replace(DIGITS, labels=())), registry)

    told = notes("mnist-net@2.0.0", registry, CHANGELOG)

    assert told.before == "1.0.0"
    for line in (
        "### Compared with 1.0.0",
        "|  | 1.0.0 | 2.0.0 |",
        "| accuracy | 99.30 % | 99.50 % |",
        "| latency\\_ms | 2 | 1.5 |",
        "| parity margin | 20x | 20x |",
        "- break: there are 0 labels, were 10",
        "- golden outputs: 3 inputs compared, largest difference 0.0e+00, 0 labels flipped",
    ):
        assert line in told.body.splitlines()


@pytest.mark.parametrize(
    ("version", "before"),
    [
        ("1.10.0", "1.2.0"),
        ("1.10.0-dev.2", "1.10.0-dev.1"),
        ("1.10.0-dev.1", "1.2.0"),
        ("1.2.0", "1.1.0"),
    ],
)
def test_a_final_version_is_compared_with_a_final_one(golden_crate, registry, version, before):
    for each in ("1.1.0", "1.2.0-dev.1", "1.2.0", "1.10.0-dev.1", "1.10.0-dev.2", "1.10.0"):
        publish(golden_crate(each), registry)

    assert notes(f"mnist-net@{version}", registry, "").before == before


def test_a_yanked_or_damaged_version_is_not_what_one_is_compared_with(golden_crate, gitlab):
    registry = gitlab.registry()
    for each in ("1.0.0", "1.1.0", "1.2.0", "1.3.0"):
        publish(golden_crate(each), registry)
    yank("mnist-net@1.2.0", "why", registry, datetime.now(UTC))
    url = gitlab.url("mnist-net", "1.1.0", MANIFEST)
    httpx.put(url, content=b"{}", headers={"PRIVATE-TOKEN": "glpat-developer"})

    assert notes("mnist-net@1.3.0", registry, "").before == "1.0.0"


def test_a_yanked_version_is_told_of_as_such(golden_crate, registry):
    publish(golden_crate("1.0.0"), registry)
    yank("mnist-net@1.0.0", "reads *7* as <1>", registry, datetime(2026, 1, 2, tzinfo=UTC))

    body = notes("mnist-net@1.0.0", registry, "").body

    assert body.startswith(
        "**Do not take this version: yanked since 2026-01-02: reads \\*7\\* as &lt;1>**"
    )


def test_of_a_mark_that_was_taken_back_it_is_told_when_and_why(golden_crate, registry):
    publish(golden_crate("1.0.0"), registry)
    yank("mnist-net@1.0.0", "reads *7* as <1>", registry, datetime(2026, 1, 2, tzinfo=UTC))
    undo("mnist-net@1.0.0", registry, datetime(2026, 2, 3, tzinfo=UTC))

    body = notes("mnist-net@1.0.0", registry, "").body

    assert body.startswith(
        "This version was yanked from 2026-01-02 to 2026-02-03: reads \\*7\\* as &lt;1>\n\n"
    )


def test_a_token_that_cannot_list_still_tells_the_figures(golden_crate, gitlab):
    publish(golden_crate("1.0.0"), gitlab.registry())
    publish(golden_crate("1.1.0"), gitlab.registry())

    told = notes("mnist-net@1.1.0", gitlab.registry("gldt-read", "DEPLOY-TOKEN"), "")

    assert told.before == ""
    assert "- accuracy: 99.30 %" in told.body


def test_what_is_not_published_or_not_exact_is_refused(golden_crate, registry):
    publish(golden_crate("1.0.0"), registry)

    with pytest.raises(NotFoundError):
        notes("mnist-net@2.0.0", registry, "")
    with pytest.raises(UsageError, match="tomorrow"):
        notes("mnist-net@latest", registry, "")


@pytest.mark.parametrize(
    "text",
    ["<script>x</script>", "![x](http://evil)", "*a* _b_ `c` [d](e)", "a | b", "# title", "&lt;"],
)
def test_foreign_words_are_no_markdown(text):
    read = markdown.markdown(plain(text), extensions=["extra"])

    assert read.startswith("<p>")
    assert not any(tag in read for tag in ("<script", "<img", "<em", "<code", "<a ", "<h1", "<td"))


def test_hostile_metrics_stay_in_their_cell(golden_crate, registry):
    evil = {"accuracy": 0.5, "a | b\n# <b>": 1.0}
    publish(golden_crate("1.0.0"), registry)
    publish(golden_crate("1.1.0", metrics=evil), registry)

    body = notes("mnist-net@1.1.0", registry, "").body

    assert "| a \\| b \\# &lt;b> | - | 1 |" in body.splitlines()

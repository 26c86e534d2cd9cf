"""What docs/ shows was run: each proof has its table there.

A proof's table stands under a heading that is the test's own name, read as a sentence:
`test_two_hundred_rounds` under "Two hundred rounds".
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}


def proofs() -> list[str]:
    """Return the names of all tests that are marked as proofs, in whole or for some parameters."""
    found = []
    for path in sorted((ROOT / "tests").glob("**/test_*.py")):
        text = path.read_text()
        for node in ast.walk(ast.parse(text)) if "mark.proof" in text else ():
            if isinstance(node, ast.FunctionDef) and "mark.proof" in "".join(
                map(ast.unparse, node.decorator_list)
            ):
                found.append(node.name)
    return found


def shown(name: str, text: str) -> bool:
    """Whether `text` has a heading for the test `name`, and a table of output below it."""
    sentence = re.escape(name.removeprefix("test_").replace("_", " "))
    section = re.search(rf"^#+ {sentence}$(.*?)(?=^#|\Z)", text, re.M | re.S | re.I)
    return section is not None and "```text\n" in section[1]


@pytest.mark.parametrize("name", proofs())
def test_each_proof_has_its_table_in_docs(name: str) -> None:
    assert any(shown(name, text) for text in DOCS.values())


def test_a_heading_without_output_or_of_another_test_would_be_missed() -> None:
    table = "## Two hundred rounds\n\n```text\nround 1\n```\n"

    assert shown("test_two_hundred_rounds", table)
    assert not shown("test_two_hundred_rounds", "## Two hundred rounds\n\nno table\n# Next\n")
    assert not shown("test_two_rounds", table)
    assert "test_a_large_file_moves_both_ways_in_150_megabytes" in proofs()  # marked by parameter

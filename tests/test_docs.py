"""What docs/ shows was run: each proof has its table there, at a commit of this history.

A proof's table stands under a heading that is the test's own name, read as a sentence:
`test_two_hundred_rounds` under "Two hundred rounds".
"""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
COMMIT = re.compile(r"\bcommit\s+([0-9a-f]{7,40})\b", re.I)


def proofs() -> list[str]:
    """Return the names of all tests that are marked as proofs, in whole or for some parameters."""
    found = []
    for path in sorted((ROOT / "tests").glob("**/test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
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


def git(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["git", "-c", "safe.directory=*", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def foreign(folder: Path, commits: list[str]) -> list[str]:
    """Return which of `commits` are no ancestors of HEAD in the checkout `folder`.

    A commit that a shallow clone lacks may well be one, and where there is no checkout at
    all, as in an sdist, nothing is known: then nothing is called foreign.
    """
    shallow = git(folder, "rev-parse", "--is-shallow-repository")
    if shallow.returncode:
        return []
    whole = shallow.stdout.strip() == "false"
    wrong = []
    for commit in commits:
        there = git(folder, "cat-file", "-e", f"{commit}^{{commit}}").returncode == 0
        ancestor = git(folder, "merge-base", "--is-ancestor", commit, "HEAD").returncode == 0
        if (there or whole) and not ancestor:
            wrong.append(commit)
    return wrong


@pytest.mark.parametrize("name", proofs())
def test_each_proof_has_its_table_in_docs(name: str) -> None:
    assert any(shown(name, text) for text in DOCS.values())


@pytest.mark.parametrize("name", DOCS)
def test_each_commit_named_in_docs_is_of_this_history(name: str) -> None:
    assert foreign(ROOT, COMMIT.findall(DOCS[name])) == []


def test_a_heading_without_output_or_of_another_test_would_be_missed() -> None:
    table = "## Two hundred rounds\n\n```text\nround 1\n```\n"

    assert shown("test_two_hundred_rounds", table)
    assert not shown("test_two_hundred_rounds", "## Two hundred rounds\n\nno table\n# Next\n")
    assert not shown("test_two_rounds", table)
    assert "test_a_large_file_moves_both_ways_in_150_megabytes" in proofs()  # marked by parameter


def test_a_commit_of_another_history_would_be_caught(tmp_path: Path) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    author = ("-c", "user.name=a", "-c", "user.email=a@b")
    git(tmp_path, "init", "--quiet", str(origin))
    commits = []
    for message in ("first", "second", "third"):
        git(origin, *author, "commit", "--quiet", "--allow-empty", "--message", message)
        commits.append(git(origin, "rev-parse", "--short=7", "HEAD").stdout.strip())
    lost = git(origin, *author, "commit-tree", "HEAD^{tree}", "-m", "lost").stdout.strip()[:12]
    git(tmp_path, "clone", "--quiet", "--depth", "1", f"file://{origin}", str(clone))

    assert COMMIT.findall(f"At commit\n{lost}: and at commit {commits[0]}.") == [lost, commits[0]]
    assert foreign(origin, [*commits, lost, "0123456"]) == [lost, "0123456"]
    assert foreign(clone, commits) == []
    assert foreign(tmp_path, commits) == []

"""A list or a package becomes the networks of a fleet; what cannot be read is one with a fault."""

from pathlib import Path

import pytest

from torchcrate.errors import ExportError, UsageError
from torchcrate.fleet.members import Member, members

SPEC = 'ModelSpec("{}", "torch.nn:Identity", ("x:float32[batch,2]",))\n'
IMPORT = "from torchcrate.model.spec import ModelSpec\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with modules of every kind; the current folder, and one to import from."""
    files = {
        "fine.py": f"{IMPORT}A = {SPEC.format('net-a')}B = {SPEC.format('net-b')}NUMBER = 7\n",
        "twin.py": f"{IMPORT}A = {SPEC.format('net-a')}",
        "broken.py": "import not_there_at_all\n",
        "leaving.py": "import os\nos._exit(7)\n",
        "fleet/__init__.py": "from fleet.inner.one import ONE\nfrom fine import A\n",
        "fleet/__main__.py": "raise SystemExit('a program, not a module')\n",
        "fleet/zero.py": f"from fleet.inner.one import ONE\n{IMPORT}"
        f"Z = {SPEC.format('zero')}AS = Z\n",
        "fleet/inner/__init__.py": "",
        "fleet/inner/one.py": f"{IMPORT}ONE = {SPEC.format('one')}ALL = [{SPEC.format('x')}]\n",
        "fleet/inner/bad.py": "1 / 0\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def listed(folder: Path, text: str) -> tuple[Member, ...]:
    (folder / "fleet.txt").write_text(text)
    return members("fleet.txt", 2)


def test_a_list_has_comments_and_blank_lines_and_keeps_its_order(folder: Path) -> None:
    found = listed(folder, "# ours\n\n  fine:B # second\r\nfine:A\n#twin:A\nfine:B\n")

    assert found == (Member("fine:B", "net-b"), Member("fine:A", "net-a"))


def test_an_editors_mark_at_the_start_of_a_list_is_no_part_of_a_name(folder: Path) -> None:
    assert listed(folder, "\ufefffine:A\n") == (Member("fine:A", "net-a"),)


def test_what_cannot_be_read_is_a_member_with_a_fault(folder: Path) -> None:
    text = "broken:SPEC\nfine:NOPE\nfine:NUMBER\nnowhere:SPEC\nleaving:SPEC\njust words\nfine:A\n"

    found = {member.target: member.fault for member in listed(folder, text)}

    assert found["fine:A"] is None
    for target, words in {
        "broken:SPEC": "broken needs not_there_at_all, which is not installed at broken.py:1",
        "fine:NOPE": "fine has no NOPE",
        "fine:NUMBER": "fine:NUMBER is int: name a ModelSpec",
        "nowhere:SPEC": "there is no module nowhere",
        "just words": "names nothing: write package.module:name",
    }.items():
        assert isinstance(found[target], UsageError)
        assert words in str(found[target])
    assert isinstance(found["leaving:SPEC"], ExportError)
    assert "exit code 7" in str(found["leaving:SPEC"])


def test_two_specs_with_one_name_are_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="fine:A and twin:A are both named net-a"):
        listed(folder, "fine:A\nfine:B\ntwin:A\n")


def test_a_package_is_all_specs_that_its_modules_make(folder: Path) -> None:
    found = members("fleet", 2)

    assert [member for member in found if member.fault is None] == [
        Member("fleet.inner.one:ONE", "one"),
        Member("fleet.zero:Z", "zero"),
    ]
    (bad,) = [member for member in found if member.fault]
    assert bad.target == "fleet.inner.bad"
    assert str(bad.fault).startswith("importing fleet.inner.bad fails at fleet/inner/bad.py:1")


def test_a_module_alone_is_a_package_of_one(folder: Path) -> None:
    assert [member.target for member in members("fine", 1)] == ["fine:A", "fine:B"]


@pytest.mark.parametrize(
    ("fleet", "words"),
    [
        ("nowhere", "is no file here, and cannot be looked through as a package: there is no"),
        ("leaving", "exit code 7"),
        ("no/such/file.txt", "neither a file with one network a line nor a package"),
        ("", "neither a file"),
        ("empty.txt", "empty.txt names no network"),
        ("fleet.inner.__init__", "names no network"),
    ],
)
def test_what_is_no_fleet_is_refused_in_one_line(folder: Path, fleet: str, words: str) -> None:
    (folder / "empty.txt").write_text("# nothing yet\n")

    with pytest.raises(UsageError) as refused:
        members(fleet, 1)

    assert words in str(refused.value)


def test_nothing_of_a_fleet_is_imported_here(folder: Path) -> None:
    import sys

    listed(folder, "fine:A\n")

    assert "fine" not in sys.modules

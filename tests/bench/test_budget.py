"""The gate stops a crate that is slower or larger than it may be, and only such a one."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from torchcrate.bench import budget
from torchcrate.bench.budget import KERNEL, Budget, gate, require
from torchcrate.bench.question import Question, question
from torchcrate.bench.race import Rules
from torchcrate.bench.results import Part, Results
from torchcrate.bench.setting import Setting
from torchcrate.bench.subject import Subject
from torchcrate.bench.worker import neighbours
from torchcrate.cores import cores
from torchcrate.errors import BudgetError, TrustError
from torchcrate.export.artifact import Artifact
from torchcrate.release.origin import version_of
from torchcrate.table import table

pytestmark = pytest.mark.seconds(50)

ROOT = Path(__file__).parents[2]
Make = Callable[..., Path]
Value = Callable[[Path, str], Subject]
LATE = 0.01  # seconds; a warm answer takes a hundredth of it


@pytest.fixture
def raced(pulled: Make, subject: Value, setting: Setting, tmp_path: Path) -> Callable[..., Part]:
    """Race a crate whose answers are late by so much against another."""

    def race(budget: Budget, this: float, before: float) -> Part:
        new, old = (
            subject(pulled("new", this), "net 2.0.0"),
            subject(pulled("old", before), "net 1.0.0"),
        )
        return gate(new, old, budget, setting, tmp_path)

    return race


def test_a_crate_that_became_slower_is_stopped_with_both_distributions(
    raced: Callable[..., Part],
) -> None:
    part = raced(Budget(slower=1.5), LATE, 0.0)

    with pytest.raises(BudgetError, match=r"this / net 1\.0\.0 is .*, the budget is 1\.50") as stop:
        require(part)
    assert str(stop.value).count("10 % to 90 %") == 2
    assert stop.value.exit_code == 11


def test_a_crate_that_became_faster_is_let_through(raced: Callable[..., Part]) -> None:
    part = raced(Budget(slower=20), 0.0, LATE)  # whole processes may take turns with anything

    require(part)
    warm = next(bar for bar in part.bars if "warm call" in bar.what)
    assert warm.found
    assert warm.found.median < 0.5


def test_what_the_version_before_cannot_do_is_no_fault_of_this_one(
    pulled: Make, subject: Value, setting: Setting, tmp_path: Path
) -> None:
    old = pulled("old")
    (old / "model.onnx").write_bytes(b"damaged")
    new = subject(pulled("new"), "net 2.0.0")

    part = gate(new, subject(old, "net 1.0.0"), Budget(), setting, tmp_path)

    require(part)
    assert "net 1.0.0 was not raced" in part.bars[0].note


def test_a_crate_that_does_not_answer_is_stopped(
    pulled: Make, subject: Value, setting: Setting, tmp_path: Path
) -> None:
    new = pulled("new")
    (new / "model.onnx").write_bytes(b"damaged")

    part = gate(subject(new, "net 2"), subject(pulled("old"), "net 1"), Budget(), setting, tmp_path)

    with pytest.raises(BudgetError, match="refused"):
        require(part)


def test_both_that_cannot_answer_are_no_release(
    pulled: Make, subject: Value, setting: Setting, tmp_path: Path
) -> None:
    both = [pulled("new"), pulled("old")]
    for crate in both:
        (crate / "model.onnx").write_bytes(b"damaged")

    part = gate(subject(both[0], "net 2"), subject(both[1], "net 1"), Budget(), setting, tmp_path)

    with pytest.raises(BudgetError, match="refused"):
        require(part)


def test_many_at_once_are_raced_too(
    pulled: Make, subject: Value, setting: Setting, tmp_path: Path
) -> None:
    new = pulled("new")
    runner = (new / "run_onnx.py").read_text()
    slow = "    def run(given: Sequence[Array | None]) -> Any:\n"
    assert slow in runner
    wait = f"{slow}        import time; time.sleep({10 * LATE} * (len(given[0]) > 1))\n"
    (new / "run_onnx.py").write_text(runner.replace(slow, wait))

    part = gate(subject(new, "net 2"), subject(pulled("old"), "net 1"), Budget(), setting, tmp_path)

    many = next(bar for bar in part.bars if "64 at once" in bar.what)
    assert not many.holds


def test_what_was_slow_for_a_while_is_raced_once_more(
    pulled: Make, subject: Value, setting: Setting, tmp_path: Path
) -> None:
    """Its first process is slower by far, and is the only round of the first race."""
    new, starts = pulled("new"), tmp_path / "starts"
    runner = (new / "run_onnx.py").read_text()
    main = 'if __name__ == "__main__":\n'
    slow = f"""{main}
    import os, time
    with open({str(starts)!r}, "a") as starts:
        starts.write("one\\n")
        time.sleep(15 * (starts.tell() == len("one\\n")))
"""
    (new / "run_onnx.py").write_text(runner.replace(main, slow))

    part = gate(
        subject(new, "new"), subject(pulled("old"), "old"), Budget(slower=3), setting, tmp_path
    )

    (bar,) = [bar for bar in part.bars if "whole process" in bar.what]
    assert len(starts.read_text().splitlines()) == 1 + 2
    assert bar.found
    assert bar.found.count == 3
    assert bar.holds


@pytest.mark.proof
def test_busy_neighbours_let_no_slower_crate_pass_and_stop_no_other(
    pulled: Make, subject: Value, setting: Setting, tmp_path: Path
) -> None:
    """Races as those of the pipeline, of ONNX Runtime alone."""
    old = subject(pulled("old"), "old")
    rows = [("the crate", "busy neighbours", "races", "stopped", "raced once more")]
    for name, twice in (("the same", False), ("answers twice", True)):
        new = subject(pulled(name, twice=twice), "new")
        for busy in range(cores() + 1):
            parts = []
            for seed in range(5):
                rules = Rules(rounds=5, seed=seed)
                asked = replace(setting, files=5000, calls=200, rules=rules)
                (scratch := tmp_path / f"{name}-{busy}-{seed}").mkdir()
                with neighbours(busy):
                    parts.append(gate(new, old, Budget(), asked, scratch))
            stopped = [not all(bar.holds for bar in part.bars) for part in parts]
            again = sum(bool(part.words) for part in parts)
            rows.append((name, *map(str, (busy, len(parts), sum(stopped), again))))
            assert stopped == [twice] * len(parts), rows
    print(f"\n{table(rows)}")


@pytest.mark.parametrize("read", [(True, True), (True, False), (False, True)])
def test_both_are_asked_for_the_same_work(
    read: tuple[bool, bool],
    pulled: Make,
    subject: Value,
    setting: Setting,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crate that reads images, beside one that does not, is asked by its tensors, too."""
    asked: list[Question] = []

    def noted(*given: Any) -> Question:
        asked.append(question(*given))
        return asked[-1]

    monkeypatch.setattr(budget, "question", noted)
    crates = [subject(pulled(name), name) for name in ("new", "old")]

    gate(
        *(each if reads else blind(each) for each, reads in zip(crates, read, strict=True)),
        Budget(),
        setting,
        tmp_path,
    )

    assert [each.words[0] for each in asked] == ["--image" if all(read) else "--tensors"] * 2


def blind(crate: Subject) -> Subject:
    """Return a crate whose input does not say that it is an image."""
    plain = tuple(replace(given, meaning="") for given in crate.contract.inputs)
    return replace(crate, contract=replace(crate.contract, inputs=plain))


def test_a_crate_that_reads_no_images_is_raced_by_whole_processes_too(
    pulled: Make, subject: Value, setting: Setting, tmp_path: Path
) -> None:
    crates = [blind(subject(pulled(name), name)) for name in ("new", "old")]
    assert not any(each.reads_images for each in crates)

    part = gate(*crates, Budget(slower=20), setting, tmp_path)

    require(part)
    assert [bar.what for bar in part.bars if "whole process" in bar.what] == [
        "onnx, whole process: this / old"
    ]


def test_a_version_without_a_runtime_in_common_is_no_release_unseen(
    pulled: Make, subject: Value, setting: Setting, tmp_path: Path
) -> None:
    new, old = pulled("new"), pulled("old")
    (old / "run_onnx.py").unlink()

    part = gate(subject(new, "net 2"), subject(old, "net 1"), Budget(1e6), setting, tmp_path)

    held = {bar.what.partition(":")[0]: bar.holds for bar in part.bars}
    assert held == {"latency": True, "this / net 1": False}
    with pytest.raises(BudgetError, match="nothing was raced"):
        require(part)


def test_a_crate_without_a_python_runtime_has_no_latency(
    pulled: Make, subject: Value, setting: Setting, tmp_path: Path
) -> None:
    new = pulled("new")
    (new / "run_onnx.py").unlink()

    part = gate(subject(new, "net 2"), None, Budget(latency=5), setting, tmp_path)

    with pytest.raises(BudgetError, match="did not take part"):
        require(part)


def test_the_figures_of_a_benchmark_are_no_part_of_the_size(pulled: Make, subject: Value) -> None:
    crate = subject(pulled("new"), "net 1")
    evidence = Artifact("bench.json", "bench", "evidence", 10**9, "0" * 64, ())

    assert replace(crate, files=(*crate.files, evidence)).size == crate.size


def test_latency_and_size_are_held_to_their_budgets(
    pulled: Make, subject: Value, setting: Setting, tmp_path: Path
) -> None:
    slow = subject(pulled("slow", LATE), "net 1.0.0")
    ample, tight = Budget(1e6, slow.size), Budget(1.0, slow.size - 1)

    good, bad = (gate(slow, None, budget, setting, tmp_path) for budget in (ample, tight))

    require(good)
    assert [bar.holds for bar in bad.bars] == [False, False]
    assert {lane.name for lane in bad.lanes} >= {KERNEL}
    assert bad.words == ("No version before it: nothing was raced.",)


def test_a_version_that_the_key_does_not_vouch_for_is_not_run(
    sealed: Path, tmp_path: Path, torchcrate: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    key = tmp_path / "key.pem"
    public = generate_private_key(SECP256R1()).public_key()
    key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    shelf = tmp_path / "shelf"
    assert torchcrate("publish", sealed, "--to", shelf).returncode == 0

    little = ("--files", "10", "--rounds", "1", "--calls", "5", "--out", tmp_path / "out")

    named, latest = (
        torchcrate(
            *("bench", sealed, "--against", f"mnist-net@{version}", "--from", shelf),
            *("--verify-key", key, *little),
        )
        for version in (version_of(ROOT), "latest")
    )

    assert named.returncode == TrustError.exit_code
    assert "is not signed" in named.stderr
    assert "nothing to race against" in latest.stderr
    assert "No version before it: nothing was raced." in latest.stdout


def test_the_command_writes_all_figures_before_it_refuses(
    pulled: Make, tmp_path: Path, torchcrate: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    new, old, out = pulled("new", LATE), pulled("old"), tmp_path / "out"
    options = ("--against", old, "--rounds", 1, "--calls", 10, "--files", 10, "--out", out)

    done = torchcrate("bench", new, *map(str, options), "--json")

    results = Results.parse((out / "bench.json").read_bytes())
    assert done.returncode == 11, done.stderr
    # The spec's own budget counts as well.
    assert "Error: latency: warm call in onnx / reference kernel is" in done.stderr
    assert [bar.what for bar in results.parts[0].bars if not bar.holds][1].startswith("onnx, warm")
    assert json.loads(done.stdout) == json.loads(results.dump())
    assert results.parts[0].name == "gate"
    assert ElementTree.parse(out / "bench-gate.svg").getroot().tag.endswith("svg")

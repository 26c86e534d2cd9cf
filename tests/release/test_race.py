"""Publishers of one version at once, as processes of their own, with readers in between.

Whatever the order of their requests, in the end one content stands whole, each publisher
is told the truth about it, and a reader has had one whole content or a refusal.
"""

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from typing import Any

import pytest

from torchcrate.errors import RegistryError
from torchcrate.export.artifact import sha256_of
from torchcrate.release.publish import publish
from torchcrate.release.pull import pull
from torchcrate.release.registry import open_registry

ROUNDS = 10
PROOF_ROUNDS = 200
FORK = multiprocessing.get_context("fork")
TOKEN = {"GITLAB_TOKEN": "glpat-developer"}


def publisher(
    crate: Path, address: str, delay: float, start: Barrier, told: "Queue[tuple[str, str]]"
) -> None:
    """Publish after `delay` seconds and tell how it ended, in one line."""
    start.wait()
    time.sleep(delay)
    try:
        with open_registry(address, TOKEN) as registry:
            publish(crate, registry)
        told.put((crate.name, "published"))
    except RegistryError as error:
        told.put((crate.name, str(error)))


def reader(
    address: str, folder: Path, start: Barrier, stop: Event, had: "Queue[dict[str, int]]"
) -> None:
    """Pull again and again until told to stop; count what came."""
    start.wait()
    counted: Counter[str] = Counter()
    with open_registry(address, TOKEN) as registry:
        while not stop.is_set():
            out = folder / str(counted.total())
            try:
                pull("mnist-net@1.0.0", registry, out)
                counted[digest(out)] += 1
            except RegistryError:
                counted["refused"] += 1
                assert not out.exists()
    had.put(dict(counted))


def digest(crate: Path) -> str:
    """Return a word for the bytes of a crate."""
    return " ".join(sha256_of(path)[:8] for path in sorted(crate.iterdir()))


def race(crates: list[Path], address: str, scratch: Path, delays: list[float]) -> dict[str, Any]:
    """Let all publish at once, with one reader; return what each was told and what came."""
    start, stop = FORK.Barrier(len(crates) + 1), FORK.Event()
    told, had = FORK.Queue(), FORK.Queue()
    publishers = [
        FORK.Process(target=publisher, args=(crate, address, delay, start, told))
        for crate, delay in zip(crates, delays, strict=True)
    ]
    watcher = FORK.Process(target=reader, args=(address, scratch / "had", start, stop, had))
    for process in (*publishers, watcher):
        process.start()
    said = dict(told.get(timeout=120) for _ in publishers)
    stop.set()
    came = had.get(timeout=60)
    for process in (*publishers, watcher):
        process.join(60)
        assert process.exitcode == 0
    return {"said": said, "came": came}


def judge(gitlab: Any, crates: list[Path], scratch: Path, delays: list[float]) -> str:
    """Race once and return how it ended.

    Raises:
        AssertionError: If anybody saw, was told, or is left with, what must never be.
    """
    scratch.mkdir()
    ended = race(crates, gitlab.project, scratch, delays)
    pull("mnist-net@1.0.0", gitlab.registry(), scratch / "end")
    stands = digest(scratch / "end")
    whole = {digest(crate): crate for crate in crates}
    assert set(ended["came"]) <= {*whole, "refused"}, "a reader had a mixture"
    assert stands in whole, "a mixture is left"
    content = sha256_of(whole[stands] / "model.pt")
    for crate in crates:
        said = ended["said"][crate.name]
        if sha256_of(crate / "model.pt") == content:
            assert said == "published"
        else:
            assert "other content" in said or "refuses duplicates" in said, said
    lost = sum(said != "published" for said in ended["said"].values())
    return f"{len(crates) - lost} published, {lost} told that they lost"


Race = Callable[[int, str, bool], str]


@pytest.fixture
def run(gitlab: Any, make_crate: Callable[..., Path], tmp_path: Path) -> Race:
    """Race round `number` of two publishers, of `same` or `other` content."""
    crates = {
        "same": [make_crate(evidence=1), make_crate(evidence=2)],
        "other": [make_crate(), make_crate(evidence=1, changed=("model.pt", "model.onnx"))],
    }

    def once(number: int, kind: str, duplicates: bool) -> str:
        gitlab.reset(duplicates=duplicates)
        dice = random.Random(f"{number} {kind}")
        delays = [dice.choice([0, dice.uniform(0, 0.05)]) for _ in crates[kind]]
        return judge(gitlab, crates[kind], tmp_path / f"{kind}-{duplicates}-{number}", delays)

    return once


KINDS = [(kind, duplicates) for kind in ("same", "other") for duplicates in (True, False)]


@pytest.mark.parametrize(("kind", "duplicates"), KINDS)
def test_of_two_publishers_one_content_stands_and_each_is_told(
    run: Race, kind: str, duplicates: bool
) -> None:
    for number in range(ROUNDS // 2):
        ended = run(number, kind, duplicates)

        assert ended.startswith("2" if kind == "same" else "1")


@pytest.mark.proof
def test_two_hundred_rounds(run: Race, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{'content':8} {'duplicates':10} rounds  ended"]
    for kind, duplicates in KINDS:
        ended = Counter(run(number, kind, duplicates) for number in range(PROOF_ROUNDS // 4))
        for words, count in ended.items():
            lines.append(f"{kind:8} {'taken' if duplicates else 'refused':10} {count:6}  {words}")
    with capsys.disabled():
        print("", *lines, sep="\n")

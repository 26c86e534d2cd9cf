"""What a runner does to its model at load pays where it is done."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from torchcrate.bench.race import Rules, race, ratios
from torchcrate.bench.results import Lane, Spread
from torchcrate.bench.subject import Subject, drawn
from torchcrate.bench.words import seconds
from torchcrate.bench.worker import working
from torchcrate.table import table

ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # as each of the threads that share many images has


def raced(subject: Subject, batch: int, scratch: Path) -> tuple[Lane, ...]:
    """Race TorchScript as it was saved against what the runner loads for many, in turns."""
    given = {subject.image.name: drawn(batch, subject.image_shape())}
    with ExitStack() as stack:
        contestants = []
        for word in ("bare", "many"):
            worker = stack.enter_context(
                working(subject, "torchscript", scratch, ONE_THREAD, given)
            )
            contestants.append(worker.contestant(word, word, max(5, 500 // batch)))
        return race(contestants, Rules(rounds=15))


@pytest.mark.proof
def test_optimize_for_inference_pays_for_many_images(
    drafted: Path, subject: Callable[[Path, str], Subject], tmp_path: Path
) -> None:
    """It is done where many images are asked, and there alone: one at a time gains nothing."""
    rows = [("batch", "as saved", "optimised", "ratio", "10 % to 90 %")]
    found = {}
    for batch in (1, 16, 256):
        (tmp_path / str(batch)).mkdir()
        plain, many = raced(subject(drafted, "net"), batch, tmp_path / str(batch))
        found[batch] = Spread.of(ratios(many, plain))
        times = [seconds(Spread.of(lane.seconds).median) for lane in (plain, many)]
        lies = f"{found[batch].low:.2f} to {found[batch].high:.2f}"
        rows.append((str(batch), *times, f"{found[batch].median:.2f}", lies))
    print(f"\n{table(rows)}")

    assert found[256].median < 1

"""A process that lets one thing grow, and races each size against the machine's own limit.

    python -m torchcrate.bench.grow KIND CRATE ROUNDS SEED LARGEST

The limit is a plain product of two square matrices with the same floating-point operations, and
a plain read of as many bytes as weights, inputs and answers have: a product of a matrix with a
vector, which reads quicker than any sum. Each has as many threads as make it quicker, and both
take turns with what grows.
Prints a JSON list of `Size`.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from torchcrate.bench.bare import bare, in_order, shipped
from torchcrate.bench.bounds import GEMM, READ, WHOLE, Size
from torchcrate.bench.race import Contestant, Rules, Sample, race

PARAMETERS = (20_000, 200_000, 2_000_000, 20_000_000, 200_000_000, 600_000_000)
CONVOLVED = (20_000, 200_000, 2_000_000, 20_000_000)
BATCHES = (1, 4, 16, 64, 256, 1024, 4096)
SIDES = (28, 64, 128, 256, 512, 1024, 2048)
_LAYERS = 4
_TURN = 0.05  # seconds that a turn of quick calls takes
_ROW = 4096  # numbers of a row that is read
_SIDE = 16  # pixels of what is convolved

Call = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """What is measured at one size: a call, and what it must at least do."""

    curve: str
    at: int
    call: Call
    operations: int
    bytes: int


def main(kind: str, crate: str, rounds: str, seed: str, largest: str) -> int:
    """Measure all sizes of one kind up to the largest."""
    kinds: dict[str, Callable[[Path, int], Iterator[Work]]] = {
        "parameters": _parameters,
        "batch": _batch,
        "side": _side,
    }
    rules = Rules(int(rounds), 1, int(seed))
    with torch.inference_mode():
        found = [_measured(work, rules) for work in kinds[kind](Path(crate), int(largest))]
    sys.stdout.buffer.write(msgspec.json.encode(found))
    return 0


def _measured(work: Work, rules: Rules) -> Size:
    side = max(1, round((work.operations / 2) ** (1 / 3)))
    one, other = torch.rand(side, side), torch.rand(side, side)
    out = torch.empty(side, side)
    rows, row, read = _held(work.bytes)
    lanes = race(
        [
            _contestant(WHOLE, work.call, torch.get_num_threads()),
            quicker(GEMM, lambda: torch.mm(one, other, out=out)),
            quicker(READ, lambda: torch.mv(rows, row, out=read)),
        ],
        rules,
    )
    return Size(work.curve, work.at, work.operations, work.bytes, lanes)


def _held(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return a matrix of at least so many bytes, a vector to its right, and room for a product."""
    numbers = max(1, -(-count // 4))
    width = min(_ROW, numbers)
    rows = -(-numbers // width)
    return torch.ones(rows, width), torch.ones(width), torch.empty(rows)


def quicker(name: str, call: Call) -> Contestant:
    """Return a call on one thread or on all: in small work threads do little but wait."""
    tried = [_contestant(name, call, threads) for threads in (1, torch.get_num_threads())]
    return min(tried, key=lambda each: statistics.median(each.measure().seconds))


def _contestant(name: str, call: Call, threads: int) -> Contestant:
    """Return a contestant whose turn is one call that does not count, and some that do."""

    def measure() -> Sample:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            count = min(50, max(1, int(_TURN / _timed(call))))
            begun = time.process_time()
            seconds = tuple(_timed(call) for _ in range(count))
            return Sample(seconds, time.process_time() - begun)
        finally:
            torch.set_num_threads(before)

    return Contestant(name, measure)


def _timed(call: Call) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def _parameters(_: Path, largest: int) -> Iterator[Work]:
    """Yield stacks of linear layers, one row and many, and of convolutions, of growing width."""
    for count in (each for each in PARAMETERS if each <= largest):
        width = round((count / _LAYERS) ** 0.5)
        layers = _stack([nn.Linear(width, width) for _ in range(_LAYERS)])
        for batch in (1, 256):
            yield _of(f"linear, batch {batch}", count, layers, torch.rand(batch, width))
    for count in (each for each in CONVOLVED if each <= largest):
        width = round((count / _LAYERS / 9) ** 0.5)
        layers = _stack([nn.Conv2d(width, width, 3, padding=1) for _ in range(_LAYERS)])
        yield _of("convolutions, batch 1", count, layers, torch.rand(1, width, _SIDE, _SIDE))


def _stack(layers: Sequence[nn.Module]) -> nn.Sequential:
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU()))).eval()


def _of(curve: str, at: int, module: nn.Module, given: Tensor) -> Work:
    script = torch.jit.trace(module, given, check_trace=False)
    weights = sum(each.numel() for each in module.parameters())
    moved = 4 * (weights + 2 * given.numel())
    return Work(curve, at, lambda: script(given), _operations(lambda: module(given)), moved)


def _batch(crate: Path, largest: int) -> Iterator[Work]:
    """Yield the crate's own model on batches of drawn images, one core, as the programs ask it."""
    for batch in (each for each in BATCHES if each <= largest):
        yield _of_crate(crate, batch, batch, None)


def _side(crate: Path, largest: int) -> Iterator[Work]:
    """Yield the crate's own model on one drawn image of growing height and width."""
    for side in (each for each in SIDES if each <= largest):
        yield _of_crate(crate, side, 1, side)


def _of_crate(crate: Path, at: int, batch: int, side: int | None) -> Work:
    from torchcrate.bench.subject import drawn, shape_of

    model = shipped("torchscript", crate, "many")
    spec = model.contract.inputs[0]
    channels, height, width = shape_of(spec.axes)
    array = drawn(batch, (channels, side or height, side or width))
    given = {spec.name: array}
    alone = bare("eager", crate, given)
    torch.set_num_threads(1)
    operations = _operations(lambda: alone.call(torch.from_numpy(array)))
    moved = (crate / "model.pt").stat().st_size + array.nbytes
    ordered = in_order(model, given)
    return Work("model.pt, one core", at, lambda: model.answer(ordered), operations, moved)


def _operations(call: Call) -> int:
    """Return the floating-point operations of matrix products and convolutions in one call."""
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""What bounds a call, said from its time beside that of the machine's own limits."""

from dataclasses import dataclass
from itertools import pairwise

from torchcrate.bench.results import Curve, Lane, Spread

WHOLE, GEMM, READ = "model", "matrix product", "read"
_BOUND = 0.3  # of the time: what takes less does not bound it


@dataclass(frozen=True)
class Size:
    """One size of what grows.

    Attributes:
        curve: Which of the curves it belongs to.
        at: The size.
        operations: Floating-point operations of one call.
        bytes: Of weights, inputs and answers.
        lanes: The model, and both limits.
    """

    curve: str
    at: int
    operations: int
    bytes: int
    lanes: tuple[Lane, ...]


def median(lane: Lane) -> float:
    """Return the median of all that a lane measured, in seconds."""
    return Spread.of(lane.seconds).median


def figures(size: Size) -> dict[str, float]:
    """Return the median seconds of a call and of its limits, by name."""
    return {lane.name: median(lane) for lane in size.lanes if lane.rounds}


def _bound(size: Size) -> str:
    """Return what takes the most of a call: arithmetic, memory, or what is about them."""
    found = figures(size)
    larger = GEMM if found[GEMM] >= found[READ] else READ
    if found[larger] < _BOUND * found[WHOLE]:
        return "the work about each operation"
    return "arithmetic" if larger == GEMM else "reading memory"


def bounded(sizes: list[Size], axis: str) -> str:
    """Say what bounds a call, from which size on."""
    bounds = [(size.at, _bound(size)) for size in sizes]
    changes = [bounds[0], *(two for one, two in pairwise(bounds) if one[1] != two[1])]
    return "bound by " + ", ".join(f"{what} from {at:,} {axis} on" for at, what in changes)


def reached(size: Size) -> str:
    """Say how much of the machine's limit a batch of the default size reaches."""
    found = figures(size)
    arithmetic, memory = (found[name] / found[WHOLE] for name in (GEMM, READ))
    most = max(arithmetic, memory)
    return (
        f"a batch of {size.at} reaches {100 * most:.0f} % of the machine's limit: "
        f"a plain matrix product of the same {size.operations / 1e6:.0f} MFLOP takes "
        f"{100 * arithmetic:.0f} % of its time, a plain read of the same "
        f"{size.bytes / 1e6:.1f} MB {100 * memory:.0f} %"
    )


def started(curve: Curve) -> str:
    """Say from how many files on a program spends more time on files than on its start."""
    (_, first), (last, whole) = curve.points[0], curve.points[-1]
    each = (whole - first) / (last - 1)
    if each <= 0:
        return f"{curve.name}: bound by its start, {first:.2f} s, up to {last:,.0f} files"
    return (
        f"{curve.name}: bound by its start, {first:.2f} s, up to {first / each:,.0f} files, "
        f"then by {1e6 * each:.0f} us a file"
    )

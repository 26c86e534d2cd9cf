"""Variants as a table for people."""

from torchcrate.bench.words import seconds
from torchcrate.table import table
from torchcrate.verify.figures import Deviation, Variant, Variants


def shown(found: Variants) -> str:
    """Return one line for model.onnx and for each candidate, and one for why each is not there."""
    batches = [pace.batch for pace in found.model.paces]
    head = ["file", "size", "difference", "labels changed", "accuracy"]
    for batch in batches:
        head += ["time" if batch is None else f"batch {batch}", "ratio"]
    rows = [(*head, "shipped")]
    rows += [_row(each, len(batches)) for each in (found.model, *found.candidates)]
    lines = [f"{each.file}: {each.why}" for each in found.candidates]
    lines.append(f"int8 is calibrated on {found.calibration}")
    machine = ", ".join(f"{name} {value}" for name, value in found.machine.items())
    return "\n".join([table(rows), *lines, machine])


def _row(each: Variant, batches: int) -> tuple[str, ...]:
    paces = [
        word
        for pace in each.paces
        for word in (
            seconds(pace.seconds),
            f"{pace.median:.2f} ({pace.low:.2f} to {pace.high:.2f})",
        )
    ]
    return (
        each.file,
        f"{each.size / 1e6:.2f} MB" if each.size else "-",
        _largest(each.found),
        _share([one.flipped for one in each.found]),
        _share([one.accuracy for one in each.found if one.accuracy is not None]),
        *(paces or ["-"] * 2 * batches),
        "yes" if each.shipped else "no",
    )


def _largest(found: tuple[Deviation, ...]) -> str:
    figures = [each.maximum for each in found]
    if not figures or None in figures:
        return "-"
    return f"{max(each for each in figures if each is not None):.1e}"


def _share(shares: list[float | None]) -> str:
    """Return the last share, of data if there is any, in percent."""
    return "-" if not shares or shares[-1] is None else f"{100 * shares[-1]:.2f} %"

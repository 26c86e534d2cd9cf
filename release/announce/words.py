"""A difference in words: the same rows and sentences for a terminal and for release notes."""

from torchcrate.release.announce.diff import Difference, Figure
from torchcrate.release.announce.golden import Golden
from torchcrate.release.history import margin_words, size_words
from torchcrate.table import one_line, table

Row = tuple[str, str, str]


def shown(difference: Difference) -> str:
    """Return the whole difference for a terminal."""
    head = ("", one_line(difference.old, 80), one_line(difference.new, 80))
    figured = table([head, *figures(difference), *technical(difference)])
    return "\n".join([figured, "", *sentences(difference), *files(difference)])


def figures(difference: Difference) -> list[Row]:
    """Return what everybody wants to know: metrics, latency, room in parity, size, runtimes."""
    rows = [_row(each) for each in (*difference.metrics, *difference.latency)]
    margin = difference.parity_margin
    rows.append(("parity margin", margin_words(margin.old), margin_words(margin.new)))
    size = difference.size
    rows.append(("size", size_words(size.old or 0), size_words(size.new or 0)))
    return rows + [
        (f"minimum {one_line(w.what, 40)}", _word(w.old), _word(w.new)) for w in difference.minimum
    ]


def technical(difference: Difference) -> list[Row]:
    """Return what an engineer asks next, where it differs: parity by runtime, tools."""
    rows = [
        (f"parity of {one_line(each.what, 40)}", _scientific(each.old), _scientific(each.new))
        for each in difference.parity
        if each.old != each.new
    ]
    return rows + [(one_line(w.what, 40), _word(w.old), _word(w.new)) for w in difference.tools]


def sentences(difference: Difference) -> list[str]:
    """Return what is no figure, one line each: the contract first, breaks called breaks."""
    lines = [each.words() for each in difference.contract] or ["contract: the same"]
    lines.append(f"golden outputs: {_golden(difference.golden)}")
    if difference.same_content:
        lines.append("content: the same by their manifests")
    return lines


def files(difference: Difference) -> list[str]:
    """Return one line a file that is not the same in both, with its sizes."""
    return [
        f"{_fate(each)} {each.what}: {_bytes(each)}"
        for each in sorted(difference.files, key=lambda each: _fate(each))
    ]


def _row(each: Figure) -> Row:
    accuracy = each.what == "accuracy"
    old, new = (
        "-" if value is None else f"{100 * value:.2f} %" if accuracy else f"{value:.4g}"
        for value in (each.old, each.new)
    )
    return one_line(each.what, 40), old, new


def _golden(golden: Golden) -> str:
    other = f", {golden.other} inputs not in both" if golden.other else ""
    if golden.problem:
        return f"not compared, {one_line(golden.problem, 200)}{other}"
    lost = f", {golden.lost} with numbers that became none" if golden.lost else ""
    far = "no number in both"
    if golden.largest is not None:
        far = f"largest difference {golden.largest:.1e}"
    where = f" at {one_line(golden.worst, 80)}" if golden.largest else ""
    flips = f"{golden.flips} label{'' if golden.flips == 1 else 's'} flipped"
    return f"{golden.compared} inputs compared, {far}{where}, {flips}{lost}{other}"


def _fate(each: Figure) -> str:
    if each.old is None:
        return "added"
    return "removed" if each.new is None else "changed"


def _bytes(each: Figure) -> str:
    if each.old is None or each.new is None:
        return size_words(each.old or each.new or 0)
    more = each.new - each.old
    sign = "+" if more > 0 else "-"
    return size_words(each.new) + (f", {sign}{size_words(abs(more))}" if more else "")


def _word(value: str | None) -> str:
    return "-" if value is None else one_line(value, 40)


def _scientific(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"

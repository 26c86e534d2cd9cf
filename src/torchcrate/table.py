"""What commands show people: many figures as aligned columns, foreign words as one line."""

from collections.abc import Sequence

LONGEST = 500  # characters: a sentence or two, and a link


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of words as aligned columns, the first row being the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def one_line(text: str, longest: int = LONGEST) -> str:
    """Return foreign `text` as one line of at most `longest` characters, fit for a terminal.

    Whatever does not print as itself, say an escape sequence or a mark that turns the
    direction of writing, is shown by its number.
    """
    words = " ".join(text.split())
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape", "replace").decode()
        for each in words[: longest + 1]
    )
    return shown if len(shown) <= longest else shown[: longest - 3] + "..."

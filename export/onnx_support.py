"""Which ONNX Runtime reads which model, known without loading either. Needs no onnx.

A runtime reads every opset and IR version up to its own. Source: the table "ONNX opset
support" of onnxruntime.ai/docs/reference/compatibility.html, which ends at 1.20; from 1.21
on what the released wheels themselves name as their limits.
"""

# The first release that reads up to (opset, IR version), oldest first.
_READS = {
    (1, 14): (18, 8),
    (1, 15): (19, 8),
    (1, 16): (19, 9),
    (1, 17): (20, 9),
    (1, 18): (21, 10),
    (1, 21): (22, 10),
    (1, 23): (23, 11),
    (1, 24): (25, 13),
    (1, 26): (26, 13),
}


def first(opset: int, ir: int) -> str | None:
    """Return the oldest ONNX Runtime that reads such a model; None if the table ends before."""
    for (major, minor), (largest_opset, largest_ir) in _READS.items():
        if opset <= largest_opset and ir <= largest_ir:
            return f"{major}.{minor}.0"
    return None


def largest(release: tuple[int, ...]) -> tuple[int, int] | None:
    """Return the largest (opset, IR version) that a release reads.

    Args:
        release: Its number, say (1, 18, 1).

    Returns:
        None for a release that the table is too old or too young to know.
    """
    known = [reads for since, reads in _READS.items() if since <= release]
    return known[-1] if known and release[:2] <= max(_READS) else None

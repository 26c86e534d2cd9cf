"""How many processors there are for us: what runs side by side, and what is built so."""

import os


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))

"""A process that holds one crate's model warm, and times calls when it is asked to.

Reads lines like `answer 200` on stdin: what to call and how often. Writes a line of JSON
for each, the seconds of every call.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

from torchcrate.bench.bare import Call, bare, kernel, shipped

_WARM = 10  # calls before those that count: a profiled graph compiles in its first ones


def main(runtime: str, crate: str, inputs: str) -> int:
    """Answer until stdin ends.

    Args:
        runtime: "eager", "torchscript" or "onnx".
        crate: The folder of the crate.
        inputs: An npz file with the inputs in the contract's order.
    """
    with np.load(inputs) as stored:
        given = [stored[name] for name in stored.files]
    try:
        model = shipped(runtime, Path(crate))
        runtime_alone = bare(model, given)
    except Exception as error:  # a damaged crate raises whatever its bytes led to
        print(f"Error: {error}".split("\n")[0], file=sys.stderr)
        return 1
    prepared = [runtime_alone.prepare(array) for array in given]
    calls: dict[str, Call] = {
        "answer": lambda: model.answer(given),
        "bare": lambda: runtime_alone.call(*prepared),
        "kernel": kernel(),
    }
    for line in sys.stdin:
        name, count = line.split()
        print(json.dumps(timed(calls[name], int(count))), flush=True)
    return 0


def timed(call: Call, count: int) -> list[float]:
    """Return the seconds of each of `count` calls, after some that do not count."""
    for _ in range(_WARM):
        call()
    found = []
    for _ in range(count):
        begun = time.perf_counter_ns()
        call()
        found.append((time.perf_counter_ns() - begun) * 1e-9)
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""A process that holds one crate's model warm, and times calls when it is asked to.

Reads lines like `answer 200` on stdin: what to call and how often. Writes a line of JSON
for each: the seconds of every call, and the core-seconds of all of them.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from torchcrate.bench.bare import Array, Call, bare, in_order, kernel, shipped

# Calls before those that count: a profiled graph compiles in its first two.
_WARM = 10
_LEAST = 2
_LONGEST = 0.5  # seconds after which the least is enough


def main(runtime: str, crate: str, inputs: str) -> int:
    """Answer until stdin ends.

    Args:
        runtime: "eager", "torchscript" or "onnx"; "onnx-int8" for a variant.
        crate: The folder of the crate.
        inputs: An npz file with the inputs by name, in the contract's order.
    """
    with np.load(inputs) as stored:
        given = {name: stored[name] for name in stored.files}
    makers: dict[str, Callable[[], Call]] = {
        "answer": lambda: _answer(runtime, Path(crate), given),
        "many": lambda: _answer(runtime, Path(crate), given, "many"),
        "bare": lambda: _bare(runtime, Path(crate), given),
        "kernel": kernel,
    }
    calls: dict[str, Call] = {}
    for line in sys.stdin:
        name, count = line.split()
        try:
            calls[name] = calls.get(name) or makers[name]()
            found, cpu = timed(calls[name], int(count))
        except Exception as error:  # a damaged crate raises whatever its bytes led to
            print(f"Error: {error}".split("\n")[0], file=sys.stderr)
            return 1
        print(json.dumps({"seconds": found, "cpu": cpu}), flush=True)
    return 0


def _answer(runtime: str, crate: Path, given: Mapping[str, Array], work: str = "warm") -> Call:
    model = shipped(runtime, crate, work)
    ordered = in_order(model, given)
    return lambda: model.answer(ordered)


def _bare(runtime: str, crate: Path, given: Mapping[str, Array]) -> Call:
    alone = bare(runtime, crate, given)
    prepared = [alone.prepare(array) for array in given.values()]
    return lambda: alone.call(*prepared)


def timed(call: Call, count: int) -> tuple[list[float], float]:
    """Return the seconds of each of `count` calls, after some that do not count.

    And the core-seconds of this process, all threads, during those that do.
    """
    end = time.perf_counter() + _LONGEST
    for number in range(_WARM):
        if number < _LEAST or time.perf_counter() < end:
            call()
    found, before = [], time.process_time()
    for _ in range(count):
        begun = time.perf_counter_ns()
        call()
        found.append((time.perf_counter_ns() - begun) * 1e-9)
    return found, time.process_time() - before


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Starts one program and says what it took: wall time, core-seconds, peak memory, first answer.

A program of its own, because the system counts the memory of whoever starts a program as the
least that the program held: this one is small. Imports nothing but the standard library.
"""

import json
import os
import sys
import tempfile
import time

_SEPARATOR = "--"
_LAST = 1 << 16  # bytes of output in which the last line is looked for


def main(arguments: list[str]) -> int:
    """Run what stands behind `--`, with the variables that stand before it, NAME=VALUE each.

    What it prints is counted and thrown away, but for the last line. Prints one JSON object,
    which `process` reads.
    """
    at = arguments.index(_SEPARATOR)
    command = arguments[at + 1 :]
    env = os.environ | dict(pair.split("=", 1) for pair in arguments[:at])
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as errors:
        actions = [
            (os.POSIX_SPAWN_DUP2, writing, 1),
            (os.POSIX_SPAWN_DUP2, errors.fileno(), 2),
            (os.POSIX_SPAWN_CLOSE, reading),
        ]
        begun = time.perf_counter()
        try:
            child = os.posix_spawnp(command[0], command, env, file_actions=actions)
        except OSError as error:
            print(json.dumps({"problem": f"{command[0]}: {error.strerror}"}))
            return 0
        os.close(writing)
        lines, first, last = 0, None, b""
        while part := os.read(reading, 1 << 16):
            first = first or time.perf_counter() - begun
            lines += part.count(b"\n")
            last = (last + part)[-_LAST:]
        _, status, used = os.wait4(child, 0)
        seconds = time.perf_counter() - begun
        errors.seek(max(0, errors.seek(0, os.SEEK_END) - _LAST))
        said = errors.read().decode(errors="replace").strip().splitlines()
    code = os.waitstatus_to_exitcode(status)
    found = {
        "seconds": seconds,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * 1024,
        "first": first,
        "lines": lines,
        "last": last.decode(errors="replace").strip().rpartition("\n")[2],
        "problem": (said[-1] if said else f"exit code {code}") if code else "",
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The command line that all Python runners share, in words and exit codes like run_libtorch's.

Ships in the crate beside the runners. A runner brings one function, which loads
the crate's model for its runtime; everything a user sees is here. The exit codes are
those of `runtime.py`.
"""

import argparse
import io
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from runtime import CONTRACT, IMAGE, RUNNER, USAGE, Array, Load, Model, RunError, absent, reason

try:
    import numpy as np

    from images import ImageError, read_grey
    from names import expand
    from vectors import answer_tensors, selftest
except (ImportError, OSError) as error:
    # Of a crate that was pulled for one runtime only its requirements are here.
    names = [f"requirements-{runtime}.txt" for runtime in ("onnx", "torchscript", "eager")]
    here = [name for name in names if Path(__file__).with_name(name).exists()]
    print(f"Error: {absent(error, (here or names)[0])}", file=sys.stderr)
    sys.exit(RUNNER)

BATCH = 64  # images of one size are answered together, at most this many
PIXELS = 2**22  # and of so many pixels, so that memory stays flat
GOLDEN = "golden.safetensors"


def main(runtime: str, load: Load, arguments: Sequence[str] | None = None) -> int:
    """Run the command line of one runner.

    Args:
        runtime: Its name, by which golden vectors know its limit.
        load: Loads the model of a crate; raises RunError.
        arguments: Instead of the process's own.

    Returns:
        The exit code.
    """
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    # Threads that wait by spinning make a busy machine five times slower; torch reads this once.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    options = _parse(arguments)
    try:
        model = load(options.crate)
        if options.image:
            return _images(model, options.image, options.json)
        if options.tensors:
            answer_tensors(model, options.tensors, options.out)
        else:
            passed = selftest(runtime, model, options.crate / GOLDEN)
            with _printing():
                print(passed, flush=True)
        return 0
    except RunError as failure:
        print(f"Error: {failure}", file=sys.stderr)
        return failure.code
    except BrokenPipeError:  # the reader of our answers went away, say `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("Error: interrupted", file=sys.stderr)
        return 130


@contextmanager
def _printing() -> Iterator[None]:
    """Turn what prevents the block from printing into one line; what waits is dropped then."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise RunError(RUNNER, f"cannot write the answers: {reason(error)}") from error


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, as every other error is said."""
        print(f"Error: {message}; {self.prog} --help shows the options", file=sys.stderr)
        sys.exit(USAGE)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    program = Path(sys.argv[0]).name
    parser = _Parser(
        description="Answer with the model of a crate.",
        epilog=f"example: python {program} --image 'scans/*.png' --json",
        allow_abbrev=False,
    )
    own = Path(__file__).resolve().parent
    add = parser.add_argument
    add("--crate", type=Path, default=own, metavar="DIR", help="the crate (default: own folder)")
    work = parser.add_mutually_exclusive_group(required=True)
    work.add_argument(
        "--image",
        action="append",
        metavar="PATTERN",
        help="a PNG or a glob of PNGs; may be repeated",
    )
    work.add_argument(
        "--tensors",
        type=Path,
        metavar="IN",
        help="a safetensors file with the contract's inputs, as NAME or as CASE.NAME",
    )
    work.add_argument("--selftest", action="store_true", help="replay the golden vectors here")
    add("--json", action="store_true", help="one JSON object a line for each image")
    add("--out", type=Path, metavar="OUT", help="where --tensors writes its answers")
    options = parser.parse_args(arguments)
    if bool(options.tensors) != bool(options.out):
        parser.error("--tensors and --out go together")
    if options.json and not options.image:
        parser.error("--json goes with --image")
    return options


# --image


def _images(model: Model, patterns: Sequence[str], as_json: bool) -> int:
    if [spec["meaning"] for spec in model.contract["inputs"]] != ["image"]:
        raise RunError(USAGE, "this model does not read images: use --tensors")
    code = 0
    for batch in _batches(_decoded(patterns)):
        if isinstance(batch[0][1], str):
            code = IMAGE
            with _printing():
                _refuse(*batch[0], as_json)
                sys.stdout.flush()
        else:
            rows = _rows(model, np.stack([pixels for _, pixels in batch])[:, None])
            with _printing():
                for (path, _), row in zip(batch, rows, strict=True):
                    _answer(path, row, model.contract["labels"], as_json)
                sys.stdout.flush()
    return code


def _rows(model: Model, stack: Array) -> Array:
    """Return the log-probabilities, (N, labels), of images (N, 1, H, W)."""
    rows = model.answer([stack])[0]
    labels = model.contract["labels"]
    if not labels or str(rows.dtype) != "float32" or rows.shape != (len(stack), len(labels)):
        raise RunError(CONTRACT, "the model does not answer with one float32 for each label")
    return rows


def _decoded(patterns: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield each image's path with its pixels (H, W) uint8, or with a line on why not."""
    for pattern in patterns:
        paths = expand(pattern)
        if not paths:
            yield pattern, f"{pattern}: no such file, and no file matches it"
        for path in paths:
            try:
                yield path, read_grey(path)
            except ImageError as error:
                yield path, str(error)


def _batches(images: Iterator[tuple[str, Any]]) -> Iterator[list[tuple[str, Any]]]:
    """Yield runs of up to BATCH images of one size, and each refused image alone, in order."""
    batch: list[tuple[str, Any]] = []
    for path, pixels in images:
        alike = batch and getattr(pixels, "shape", None) == getattr(batch[0][1], "shape", "")
        full = len(batch) == BATCH or (len(batch) + 1) * getattr(pixels, "size", 0) > PIXELS
        if batch and (not alike or full):
            yield batch
            batch = []
        batch.append((path, pixels))
    if batch:
        yield batch


def _answer(path: str, row: Array, labels: Sequence[str], as_json: bool) -> None:
    label = labels[int(row.argmax())]
    if as_json:
        print(json.dumps({"path": path, "label": label, "log_probs": row.tolist()}))
    else:
        print(f"Image is a {label} ({100 * math.exp(row.max()):.1f} %)  {path}")


def _refuse(path: str, reason: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"path": path, "error": reason}))
    print(f"Error: {reason}", file=sys.stderr)

"""The command line that all Python runners share, in words and exit codes like run_libtorch's.

Ships in the crate beside the runners. A runner brings one function, which loads
the crate's model for its runtime; everything a user sees is here.

Exit codes: 0 all answered, 1 an image could not be read, 2 usage, 3 tensors that break
the contract, 5 golden vectors off, 6 a runtime or the model's file missing or refused.
"""

import argparse
import glob
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

try:
    import numpy as np
    import safetensors
    import safetensors.numpy
    from numpy.typing import NDArray

    from images import ImageError, read_grey
except ImportError as missing:
    line = f"Error: {missing.name} is not installed: pip install -r requirements-onnx.txt"
    print(line, file=sys.stderr)
    sys.exit(6)

IMAGE, USAGE, CONTRACT, PARITY, RUNNER = 1, 2, 3, 5, 6
BATCH = 64  # images of one size are answered together, at most this many
PIXELS = 2**22  # and of so many pixels, so that memory stays flat
GOLDEN = "golden.safetensors"

Array = NDArray[Any]


class RunError(Exception):
    """One line for people and the exit code of the program."""

    def __init__(self, code: int, line: str) -> None:
        super().__init__(line)
        self.code = code


@dataclass(frozen=True)
class Model:
    """A loaded model: the contract that its file carries, and one call.

    Attributes:
        contract: Decoded JSON: inputs, outputs, labels.
        run: Takes the inputs in the contract's order, returns the outputs likewise.
    """

    contract: dict[str, Any]
    run: Callable[[Sequence[Array]], Sequence[Array]]


Load = Callable[[Path], Model]


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
        if options.selftest:
            return _selftest(runtime, load(options.crate), options.crate / GOLDEN)
        if options.tensors:
            return _tensors(load(options.crate), options.tensors, options.out)
        return _images(load(options.crate), options.image, options.json)
    except RunError as failure:
        print(f"Error: {failure}", file=sys.stderr)
        return failure.code
    except BrokenPipeError:  # the reader of our answers went away, say `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"Error: cannot write the answers: {_reason(error)}", file=sys.stderr)
        return RUNNER
    except KeyboardInterrupt:
        print("Error: interrupted", file=sys.stderr)
        return 130


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    program = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(
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
            _refuse(*batch[0], as_json)
        else:
            stack = np.stack([pixels for _, pixels in batch])[:, None]
            for (path, _), row in zip(batch, model.run([stack])[0], strict=True):
                _answer(path, row, model.contract["labels"], as_json)
        sys.stdout.flush()
    return code


def _decoded(patterns: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Yield each image's path with its pixels (H, W) uint8, or with a line on why not."""
    for pattern in patterns:
        paths = [pattern] if os.path.lexists(pattern) else glob.glob(pattern)
        if not paths:
            yield pattern, f"{pattern}: no such file, and no file matches it"
        for path in sorted(paths, key=os.fsencode):
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


# --tensors and --selftest


def _tensors(model: Model, source: Path, target: Path) -> int:
    tensors, _ = _read_tensors(source)
    answers: dict[str, Array] = {}
    for case, given in _cases(model, tensors, "inputs").items():
        for spec, answer in zip(model.contract["outputs"], _run(model, given), strict=True):
            answers[case + spec["name"]] = answer
    partial = target.with_name(target.name + ".partial")
    try:
        partial.write_bytes(safetensors.numpy.save(answers))
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise RunError(RUNNER, f"cannot write {target}: {_reason(error)}") from error
    return 0


def _selftest(runtime: str, model: Model, golden: Path) -> int:
    tensors, metadata = _read_tensors(golden)
    limit = _limit(runtime, metadata, golden)
    wanted = _cases(model, tensors, "outputs")
    inputs = _cases(model, tensors, "inputs")
    worst, where, flips = 0.0, next(iter(wanted)).rstrip("."), 0
    for case, want in wanted.items():
        if case not in inputs:
            raise RunError(
                CONTRACT, f"tensor {case}{model.contract['inputs'][0]['name']} is missing"
            )
        got = _run(model, inputs[case])
        off = max(_difference(one, other) for one, other in zip(got, want, strict=True))
        flips += _flips(got[0], want[0], limit)
        if math.isnan(off) or off > worst:
            worst, where = off, case.rstrip(".")
        if math.isnan(worst):
            break  # nothing is worse, and no later figure may hide it
    if flips or not worst <= limit:
        what = f"worst {worst:.1e} at {where}, limit {limit:.1e}, {flips} labels flipped"
        raise RunError(PARITY, f"selftest failed: {len(wanted)} vectors, {what}")
    print(
        f"selftest passed: {len(wanted)} vectors, worst {worst:.1e} at {where}, limit {limit:.1e}"
    )
    return 0


def _limit(runtime: str, metadata: dict[str, str], golden: Path) -> float:
    try:
        return float(json.loads(metadata["limits"])[runtime])
    except (KeyError, ValueError, TypeError) as error:
        raise RunError(CONTRACT, f"{golden} has no limit for {runtime}") from error


def _difference(got: Array, want: Array) -> float:
    """Return the largest |got - want| / (1 + |want|); NaN if anything is not comparable."""
    if got.shape != want.shape or not (np.isfinite(got).all() and np.isfinite(want).all()):
        return math.nan
    return float((np.abs(got - want) / (1 + np.abs(want))).max(initial=0))


def _flips(got: Array, want: Array, limit: float) -> int:
    """Return how many rows have another label, where the best led the second by over `limit`."""
    if got.shape != want.shape or want.ndim != 2 or want.shape[1] < 2:
        return 0
    ordered = np.sort(want, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > limit
    return int(((got.argmax(1) != want.argmax(1)) & clear).sum())


def _run(model: Model, given: Sequence[Array]) -> Sequence[Array]:
    for spec, tensor in zip(model.contract["inputs"], given, strict=True):
        fits = len(tensor.shape) == len(spec["axes"]) and all(
            size >= 1 if isinstance(axis, str) else size == axis
            for size, axis in zip(tensor.shape, spec["axes"], strict=True)
        )
        if str(tensor.dtype) != spec["dtype"] or not fits:
            axes = ", ".join(map(str, spec["axes"]))
            shape = ", ".join(map(str, tensor.shape))
            raise RunError(
                CONTRACT,
                f"{spec['name']} is {tensor.dtype}({shape}), the contract has "
                f"{spec['dtype']}({axes})",
            )
    return model.run(given)


def _cases(model: Model, tensors: dict[str, Array], side: str) -> dict[str, list[Array]]:
    """Return the tensors of one side of the contract by case, "" or "CASE."; all must be whole."""
    names = [spec["name"] for spec in model.contract[side]]
    cases = sorted({key.removesuffix(names[0]) for key in tensors if _names(key, names[0])})
    for case in cases:
        missing = [case + name for name in names if case + name not in tensors]
        if missing:
            raise RunError(CONTRACT, f"tensor {missing[0]} is missing")
    if not cases:
        raise RunError(
            CONTRACT, f"tensor {names[0]} is missing; found {', '.join(tensors) or 'none'}"
        )
    return {case: [tensors[case + name] for name in names] for case in cases}


def _names(key: str, name: str) -> bool:
    return key == name or key.endswith("." + name)


def _read_tensors(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = file.keys()  # it is no dict: iterating over it fails
            return {key: file.get_tensor(key) for key in names}, file.metadata() or {}
    except (OSError, safetensors.SafetensorError, TypeError, AttributeError) as error:
        raise RunError(CONTRACT, f"cannot read {path} as safetensors: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).split("\n")[0].lower()

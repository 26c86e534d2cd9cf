"""The command line that all Python runners share, in words and exit codes like run_libtorch's.

Ships in the crate beside the runners. A runner brings one function, which loads
the crate's model for its runtime; everything a user sees is here. The exit codes are
those of `runtime.py`.
"""

import argparse
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NoReturn

from runtime import IMAGE, RUNNER, USAGE, Load, RunError, absent, reason

GOLDEN = "golden.safetensors"
NAMING = ("--crate", "--image", "--tensors", "--out")  # the options that a path follows
VARIED = "onnx"  # the runtime that can have variants of its model


def main(runtime: str, load: Load, arguments: Sequence[str] | None = None) -> int:
    """Run the command line of one runner.

    Args:
        runtime: Its name, by which golden vectors know its limit.
        load: Loads the model of a crate; raises RunError.
        arguments: Instead of the process's own.

    Returns:
        The exit code.
    """
    if sys.stderr is None:  # closed by whoever began the process: print would take stdout
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="surrogateescape")
    # Threads that wait by spinning make a busy machine five times slower: torch's, and numpy's,
    # which spin on all cores but one from its import on. Both are read once.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")  # log2 of cycles, and the least
    # Else ONNX Runtime numbers this machine in a file at home, and tells its makers of each run.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    options = _parse(arguments)
    try:
        return _dispatch(runtime, load, options)
    except RunError as failure:
        _tell(str(failure))
        return failure.code
    except BrokenPipeError:  # the reader of our answers went away, say `| head`
        return 0
    except KeyboardInterrupt:
        _tell("interrupted")
        return 130


def leave(code: int) -> NoReturn:
    """End the process at once: taking a runtime apart takes a fifth of a short run."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None where it was closed before
        with suppress(OSError):  # what could not be written was told before
            stream.flush()
    os._exit(code)


def _tell(line: str) -> None:
    """Print why there is no answer, if anybody reads it."""
    with suppress(OSError):
        print(f"Error: {line}", file=sys.stderr)


def _dispatch(runtime: str, load: Load, options: argparse.Namespace) -> int:
    """Do what is asked and return the exit code; each task imports no more than it needs."""
    if options.variant:
        if runtime != VARIED:
            line = f"{runtime} has no variants: run_{VARIED}.py takes --variant"
            raise RunError(USAGE, line)
        varied: Any = load
        load = partial(varied, variant=options.variant)
    try:
        if options.image:
            from pictures import Pictures, paths
        elif options.json:
            from lines import answer_lines
        else:
            from vectors import answer_tensors, selftest
    except (ImportError, OSError) as error:
        raise absent(error, f"requirements-{runtime}.txt") from error
    if options.image:
        rest = paths(options.image)
        first = list(islice(rest, 2))
        model = load(options.crate, "one" if len(first) == 1 else "many", options.device)
        pictures = Pictures(model, options.json)
        if len(first) == 1:
            return _say([pictures.answer(first)])
        from ahead import in_order

        with closing(in_order(pictures.answer, pictures.pieces(chain(first, rest)))) as answered:
            return _say(answered)
    if options.json:
        if sys.stdin is None:  # as it is where whoever began the process closed it
            raise RunError(RUNNER, "cannot read the calls on stdin")
        model = load(options.crate, "warm", options.device)
        return _say([said] for said in answer_lines(model, sys.stdin.buffer))
    model = load(options.crate, "exact", options.device)
    if options.selftest:
        limited = runtime if options.device == "cpu" else options.device
        replayed = selftest(limited, model, options.crate / GOLDEN, options.variant)
        return _say([[(replayed, "")]])
    answer_tensors(model, options.tensors, options.out)
    return 0


def _say(answered: Iterable[Sequence[tuple[str, str]]]) -> int:
    """Print answers as they come, and on stderr why there is none; return the exit code.

    Args:
        answered: Lists of a line for stdout and one for stderr, "" where there is none.
    """
    code = 0
    for said in answered:
        with _printing():
            for line, refusal in said:
                if line:
                    sys.stdout.write(f"{line}\n")
                if refusal:
                    code = IMAGE
                    sys.stdout.flush()
                    _tell(refusal)
            sys.stdout.flush()
    return code


@contextmanager
def _printing() -> Iterator[None]:
    """Turn what prevents the block from printing into one line."""
    if sys.stdout is None:  # as it is where whoever began the process closed it
        raise RunError(RUNNER, "cannot write the answers: stdout is closed")
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise RunError(RUNNER, f"cannot write the answers: {reason(error)}") from error


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, as every other error is said."""
        _tell(f"{message}; {self.prog} --help shows the options")
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
    work = parser.add_mutually_exclusive_group()
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
    add(
        "--json",
        action="store_true",
        help="with --image one JSON object a line for each image; alone, answer each line of "
        "stdin, an object with the inputs by name",
    )
    add("--out", metavar="OUT", help="where --tensors writes its answers")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="what computes (default: cpu)")
    add(
        "--variant",
        choices=("int8", "fp16"),
        default="",
        help="with ONNX Runtime: answer with fewer bits, as far off as variants.json says",
    )
    options = parser.parse_args(list(_joined(sys.argv[1:] if arguments is None else arguments)))
    if not (options.image or options.tensors or options.selftest or options.json):
        parser.error("one of --image, --tensors, --json, --selftest is required")
    if (options.tensors is None) != (options.out is None):
        parser.error("--tensors and --out go together")
    if options.json and (options.tensors or options.selftest):
        parser.error("--json goes with --image or alone")
    return options


def _joined(arguments: Sequence[str]) -> Iterator[str]:
    """Yield `arguments`, paths as one word with their option: argparse takes none with a dash."""
    rest = iter(arguments)
    for argument in rest:
        path = next(rest, None) if argument in NAMING else None
        yield argument if path is None else f"{argument}={path}"

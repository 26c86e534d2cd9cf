"""Answer with the best runtime that is installed: ONNX Runtime, TorchScript, plain PyTorch."""

import importlib
import importlib.util
import sys

RUNTIMES = {  # best first: the quickest to start and to answer; each with the package it needs
    "onnx": "onnxruntime",
    "torchscript": "torch",
    "eager": "torch",
}


def main(arguments: list[str]) -> int:
    """Hand the command line, less `--runtime NAME`, to the runner of the chosen runtime."""
    chosen, rest = _runtime(arguments)
    if chosen is not None and chosen not in RUNTIMES:
        print(f"Error: --runtime takes {', '.join(RUNTIMES)}, not {chosen!r}", file=sys.stderr)
        return 2
    # A crate may have been pulled for some of them only.
    here = [name for name in RUNTIMES if importlib.util.find_spec(f"run_{name}")]
    if chosen is not None and chosen not in here:
        print(f"Error: run_{chosen}.py is not here: pull the crate whole", file=sys.stderr)
        return 6
    installed = [name for name in here if importlib.util.find_spec(RUNTIMES[name])]
    runtime = chosen or next(iter([*installed, *here]), "eager")
    if {"-h", "--help"} & set(rest):
        print(f"--runtime {{{','.join(RUNTIMES)}}} forces one; here it would be {runtime}\n")
    from command import main as command

    return command(runtime, importlib.import_module(f"run_{runtime}").load, rest)


def _runtime(arguments: list[str]) -> tuple[str | None, list[str]]:
    """Split `--runtime NAME` or `--runtime=NAME` off the command line."""
    chosen, rest, given = None, [], iter(arguments)
    for argument in given:
        if argument == "--runtime":
            chosen = next(given, "")
        elif argument.startswith("--runtime="):
            chosen = argument.partition("=")[2]
        else:
            rest.append(argument)
    return chosen, rest


if __name__ == "__main__":
    code = main(sys.argv[1:])
    from command import leave

    leave(code)

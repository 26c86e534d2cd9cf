"""A model's file is asked by its runtime: here, or in a process of its own where it is large.

While a file of gigabytes is tried, the network that it was made of is in memory as well, and
what a runtime makes of weights while it loads them comes on top. In a process of its own the
trial has that memory to itself, and gives all of it back.
"""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from torchcrate.model.contract import Contract

Ask = Callable[[Mapping[str, Any]], Sequence[NDArray[Any]]]
"""Returns the outputs to the inputs of one case, in the contract's order."""

LARGE = 2**29  # bytes of a model past which a process of its own costs little beside the rest
_LENGTH = 8  # bytes of the number that goes before each message, little-endian


@contextmanager
def asking(runtime: str, contract: Contract, path: Path) -> Iterator[Ask]:
    """Give what asks the model at `path`, loaded, until the block ends.

    Args:
        runtime: "torchscript" or "onnx".
        contract: Names its inputs and outputs.
        path: The model; its weights may lie in NAME.data beside it.

    Raises:
        Exception: What the runtime raises; RuntimeError with its words, from another process.
    """
    files = (path, path.with_name(f"{path.name}.data"))
    size = sum(file.stat().st_size for file in files if file.exists())
    inputs = [given.name for given in contract.inputs]
    outputs = [answer.name for answer in contract.outputs]
    if size <= LARGE:
        yield _OPENED[runtime](path, inputs, outputs)
        return
    gc.collect()  # what was exported goes in circles, and may hold the weights once more
    task = json.dumps([runtime, str(path.resolve()), inputs, outputs])
    # -P: a module of the user's, in the folder that this is started in, is not one of ours.
    command = [sys.executable, "-P", "-m", __name__, task]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=null) as process:
        try:
            _received(process)  # it is loaded
            yield lambda case: _asked(process, case, len(outputs))
        finally:
            process.kill()  # nothing of it is kept
            with suppress(OSError):
                process.communicate()


def _torchscript(path: Path, inputs: Sequence[str], _: Sequence[str]) -> Ask:
    import torch

    from torchcrate.export.to_torchscript import quiet
    from torchcrate.model.eager import tensors

    with quiet():
        module = torch.jit.load(str(path), "cpu")

    def ask(case: Mapping[str, Any]) -> Sequence[NDArray[Any]]:
        with torch.inference_mode():
            answer = module(*tensors(case, inputs))
        return [one.numpy() for one in (answer if isinstance(answer, tuple) else (answer,))]

    return ask


def _onnx(path: Path, _: Sequence[str], outputs: Sequence[str]) -> Ask:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it says of a graph that it refuses is in the error
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda case: session.run(outputs, dict(case))


_OPENED: Mapping[str, Callable[[Path, Sequence[str], Sequence[str]], Ask]] = {
    "torchscript": _torchscript,
    "onnx": _onnx,
}


def _asked(
    process: "subprocess.Popen[bytes]", case: Mapping[str, Any], count: int
) -> Sequence[NDArray[Any]]:
    assert process.stdin is not None
    given = {name: np.array(value, order="C") for name, value in case.items()}
    with suppress(BrokenPipeError):  # it is dead; why is said where it should have answered
        _send(process.stdin, safetensors.numpy.save(given))
    got = safetensors.numpy.load(_received(process))
    return [got[str(place)] for place in range(count)]


def _received(process: "subprocess.Popen[bytes]") -> bytes:
    """Return what the process answered.

    Raises:
        RuntimeError: If that is an error, or it is dead.
    """
    assert process.stdout is not None
    error, answer = _message(process.stdout), _message(process.stdout)
    if error:
        raise RuntimeError(error.decode())
    if answer is None:
        code = process.wait()
        why = "the system killed it, for lack of memory" if code == -9 else f"exit code {code}"
        raise RuntimeError(f"the process that loads and asks the file ended: {why}")
    return answer


def _serve() -> None:
    """Load what the command line names, then answer one case after the other."""
    # Whatever else prints in this process must not come among the answers.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    runtime, path, inputs, outputs = json.loads(sys.argv[1])
    ask: Ask | None = None
    while True:
        answer, error = b"", ""
        try:
            if ask is None:
                ask = _OPENED[runtime](Path(path), inputs, outputs)
            elif (case := _message(sys.stdin.buffer)) is None:
                return
            else:
                got = ask(safetensors.numpy.load(case))
                answer = safetensors.numpy.save(
                    {str(place): np.array(one, order="C") for place, one in enumerate(got)}
                )
        except Exception as raised:  # each runtime raises kinds of its own
            error = str(raised) or type(raised).__name__
        _send(out, error.encode())
        _send(out, answer)


def _send(stream: IO[bytes], message: bytes) -> None:
    stream.write(len(message).to_bytes(_LENGTH, "little"))
    stream.write(message)
    stream.flush()


def _message(stream: IO[bytes]) -> bytes | None:
    """Return the next message; None at the end of the stream."""
    head = stream.read(_LENGTH)
    length = int.from_bytes(head, "little")
    found = stream.read(length)
    return found if len(head) == _LENGTH and len(found) == length else None


if __name__ == "__main__":
    _serve()

"""Answer with a crate's model.onnx in ONNX Runtime, without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from command import leave, main
from runtime import RUNNER, Array, RunError, Model, Work, absent, is_small, model_file

MODEL = "model.onnx"
CUDA = "CUDAExecutionProvider"


def load(crate: Path, work: Work = "warm", device: str = "cpu", variant: str = "") -> Model:
    """Load the crate's model, or a variant of it that computes with fewer bits.

    Raises:
        RunError: If ONNX Runtime or the device is missing, or the file is missing or refused.
    """
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise absent(error, "requirements-onnx.txt") from error
    from contract import parse_contract

    path = model_file(crate, _named(crate, variant))
    providers = ["CPUExecutionProvider"]
    if device == "cuda":
        providers.insert(0, CUDA)
        if CUDA not in onnxruntime.get_available_providers():
            raise _no_cuda(onnxruntime.__version__)
    options = onnxruntime.SessionOptions()
    # Threads that wait by spinning make a busy machine many times slower.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights that one file cannot hold lie in a second one; those of a variant are as many.
    small = is_small(crate / MODEL, crate / (MODEL + ".data"))
    if work == "many" or (small and work != "exact"):
        options.intra_op_num_threads = 1  # of "many" each call has a thread of its own already
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
        contract = parse_contract(session.get_modelmeta().custom_metadata_map.get("contract", ""))
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this
        reason = str(error).split("\n")[0]
        raise RunError(
            RUNNER, f"ONNX Runtime {onnxruntime.__version__} refused {path}: {reason}"
        ) from error
    if device == "cuda" and CUDA not in session.get_providers():
        raise _no_cuda(onnxruntime.__version__)
    names = [spec.name for spec in contract.inputs]
    answers = [spec.name for spec in contract.outputs]

    def run(given: Sequence[Array | None]) -> Any:
        return session.run(answers, dict(zip(names, given, strict=True)))

    return Model(contract, run)


def _named(crate: Path, variant: str) -> str:
    """Return the name of the file to load."""
    if not variant:
        return MODEL
    name = MODEL.replace(".", f".{variant}.")
    if (crate / MODEL).exists() and not (crate / name).exists():
        raise RunError(RUNNER, f"{crate} has no {name}: leave --variant out")
    return name


def _no_cuda(version: str) -> RunError:
    line = f"ONNX Runtime {version} finds no CUDA device here: leave --device out"
    return RunError(RUNNER, line)


if __name__ == "__main__":
    leave(main("onnx", load))

"""Answer with a crate's model.onnx in ONNX Runtime, without torch."""

import re
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from command import leave, main
from runtime import RUNNER, Array, RunError, Model, Work, absent, is_small, model_file

MODEL = "model.onnx"
CUDA = "CUDAExecutionProvider"
FATAL = 4  # of ONNX Runtime's severities


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
    providers = _providers(device)
    options = onnxruntime.SessionOptions()
    # Threads that wait by spinning make a busy machine many times slower.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Weights that one file cannot hold lie in a second one; those of a variant are as many.
    small = is_small(crate / MODEL, crate / (MODEL + ".data"))
    if work == "many" or (small and work != "exact"):
        options.intra_op_num_threads = 1  # of "many" each call has a thread of its own already
    try:
        # Falling back, it would answer with the CPU where CUDA fails, and say so on stdout.
        session = onnxruntime.InferenceSession(path, options, providers, enable_fallback=0)
        contract = parse_contract(session.get_modelmeta().custom_metadata_map.get("contract", ""))
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this
        raise _refusal(path, error) from error
    if device == "cuda" and CUDA not in session.get_providers():
        advice = "pip install 'onnxruntime-gpu[cuda,cudnn]', or leave --device out"
        line = f"ONNX Runtime {onnxruntime.__version__} lacks libraries of CUDA: {advice}"
        raise RunError(RUNNER, line)
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


def _providers(device: str) -> list[Any]:
    """Return what computes, first choice first.

    Raises:
        RunError: If this ONNX Runtime was built without CUDA, and is asked for it.
    """
    import onnxruntime

    providers: list[Any] = ["CPUExecutionProvider"]
    if device == "cuda":
        if CUDA not in onnxruntime.get_available_providers():
            raise _no_cuda()
        if hasattr(onnxruntime, "preload_dlls"):  # from 1.21 on
            with redirect_stdout(None):  # what is missing is told later, in one line
                onnxruntime.preload_dlls()  # CUDA as pip installs it lies where no loader looks
        onnxruntime.set_default_logger_severity(FATAL)
        # Whole float32: TF32, a card's own choice, has ten bits of mantissa.
        providers.insert(0, (CUDA, {"use_tf32": "0"}))
    return providers


def _refusal(path: Path, error: Exception) -> RunError:
    """Return the line for a session that could not be made."""
    import onnxruntime

    reason = str(error).split("\n")[0]
    if failure := re.search(r"CUDA failure \d+: ([^;]*[^; ])", reason):
        reason = failure[1]  # before and behind it stand names of C++ functions
        if reason.startswith("no CUDA-capable device"):
            return _no_cuda()
    return RunError(RUNNER, f"ONNX Runtime {onnxruntime.__version__} refused {path}: {reason}")


def _no_cuda() -> RunError:
    import onnxruntime

    line = f"ONNX Runtime {onnxruntime.__version__} finds no CUDA device here: leave --device out"
    return RunError(RUNNER, line)


if __name__ == "__main__":
    leave(main("onnx", load))

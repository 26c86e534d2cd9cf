"""Answer with a crate's model.onnx in ONNX Runtime, without torch."""

import sys
from pathlib import Path

from command import main
from runtime import RUNNER, RunError, Model, absent, model_file, parse_contract

MODEL = "model.onnx"


def load(crate: Path) -> Model:
    """Load the crate's model.

    Raises:
        RunError: If ONNX Runtime is missing or broken, or the file is missing or refused.
    """
    try:
        import onnxruntime
    except (ImportError, OSError) as error:
        raise absent(error, "requirements-onnx.txt") from error
    path = model_file(crate, MODEL)
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        contract = parse_contract(session.get_modelmeta().custom_metadata_map.get("contract", ""))
    except Exception as error:  # ONNX Runtime's own exceptions share no base but this
        reason = str(error).split("\n")[0]
        raise RunError(
            RUNNER, f"ONNX Runtime {onnxruntime.__version__} refused {path}: {reason}"
        ) from error
    names = [spec["name"] for spec in contract["inputs"]]
    answers = [spec["name"] for spec in contract["outputs"]]
    return Model(contract, lambda given: session.run(answers, dict(zip(names, given, strict=True))))


if __name__ == "__main__":
    sys.exit(main("onnx", load))

"""A model or a runtime that cannot answer: one line that says why, and no answer."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import onnx
import pytest
import torch
from programs import SAMPLE, Runner

from torchcrate import errors
from torchcrate.model.digits import DIGITS


class Failing(torch.nn.Module):
    """Asks for more memory than there is."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return nothing, ever."""
        return torch.zeros(image.shape[0], 1 << 60)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.save` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", ["run_torchscript.py", "run_libtorch"])
def test_a_model_that_fails_while_it_answers_is_one_line(
    sealed: Path, libtorch: Path, tmp_path: Path, name: str
) -> None:
    runner = Runner(name, Path(shutil.copytree(sealed, tmp_path / "crate")), libtorch)
    torch.jit.save(
        torch.jit.script(Failing()),
        runner.crate / "model.pt",
        _extra_files={"contract.json": DIGITS.dump()},
    )

    done = runner("--image", SAMPLE)

    assert done.returncode == errors.RunnerError.exit_code
    assert re.fullmatch(r"Error: .*failed: .*\n", done.stderr)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise ImportError('libnone.so: cannot open shared object file')", "is broken: libnone"),
        ("raise ModuleNotFoundError(name='onnxruntime')", "onnxruntime is not installed"),
        ("import onnxruntime.capi", "is broken: no module named 'onnxruntime.capi'"),
    ],
)
def test_a_runtime_that_is_broken_is_not_called_missing(
    sealed: Path, tmp_path: Path, body: str, said: str
) -> None:
    (tmp_path / "onnxruntime.py").write_text(body)

    done = subprocess.run(
        [sys.executable, sealed / "run_onnx.py", "--image", SAMPLE],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == errors.RunnerError.exit_code
    assert re.fullmatch(rf"Error: .*{said}.*requirements-onnx\.txt\n", done.stderr)


@pytest.mark.parametrize("damage", ["missing", "empty", "text"])
def test_a_missing_or_damaged_model_is_one_line(each: Runner, tmp_path: Path, damage: str) -> None:
    crate = Path(shutil.copytree(each.crate, tmp_path / "crate"))
    for name in ("model.pth", "model.pt", "model.onnx"):
        (crate / name).unlink() if damage == "missing" else (crate / name).write_text(
            "" if damage == "empty" else "not a model"
        )

    done = each("--image", SAMPLE, crate=crate)

    assert done.returncode == errors.RunnerError.exit_code
    assert re.fullmatch(r"Error: .*model\.\w+.*\n", done.stderr)


def unusable(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return crates whose model cannot be opened, each with the line that must be said."""
    (folder / "loop").symlink_to("loop")
    name = folder / ("x" * 300)
    for model in ("model.pth", "model.pt", "model.onnx"):
        (folder / "folder" / model).mkdir(parents=True)
    return {
        "loop": (folder / "loop", "cannot read {}: too many levels of symbolic links"),
        "long name": (name, "cannot read {}: file name too long"),
        "folder": (
            folder / "folder",
            "{} is not a file: --crate names the folder of a crate",
        ),
    }


def test_a_crate_that_cannot_be_looked_at_is_one_line(each: Runner, tmp_path: Path) -> None:
    cases = unusable(tmp_path)
    wanted = "model.pt" if each.command[0].endswith("run_libtorch") else None
    by_name = {"run_eager.py": "model.pth", "run_torchscript.py": "model.pt"}

    for crate, line in cases.values():
        done = each("--selftest", crate=crate)
        model = wanted or by_name.get(Path(each.command[-1]).name, "model.onnx")
        assert done.stderr == f"Error: {line.format(crate / model)}\n"
        assert done.returncode == errors.RunnerError.exit_code


SPEC = json.loads(DIGITS.dump())


BROKEN = {
    "none": None,
    "empty": "",
    "no JSON": "{",
    "no object": "[]",
    "nested": "[" * 200_000,
    "a number": '{"inputs":3}',
    "no labels": json.dumps({key: SPEC[key] for key in ("inputs", "outputs")}),
    "no axes": json.dumps(SPEC | {"inputs": [{"name": "image"}]}),
    "no words": json.dumps(SPEC | {"labels": [1, 2]}),
    "no dtype": json.dumps(SPEC | {"inputs": [SPEC["inputs"][0] | {"dtype": "bfloat16"}]}),
    "no size": json.dumps(SPEC | {"inputs": [SPEC["inputs"][0] | {"axes": ["batch", 0]}]}),
    "no range": json.dumps(SPEC | {"inputs": [SPEC["inputs"][0] | {"minimum": "0"}]}),
    "no limits": json.dumps(SPEC | {"sizes": {"batch": {"minimum": 2, "maximum": 1}}}),
    "one name": json.dumps(SPEC | {"outputs": SPEC["inputs"]}),
    "an optional output": json.dumps(SPEC | {"outputs": [SPEC["outputs"][0] | {"optional": True}]}),
}


def with_contract(crate: Path, text: str | None) -> None:
    """Let model.onnx and model.pth carry another contract, or none."""
    model = onnx.load(crate / "model.onnx")
    del model.metadata_props[:]
    if text is not None:
        onnx.helper.set_model_props(model, {"contract": text})
    onnx.save(model, crate / "model.onnx")
    with zipfile.ZipFile(crate / "model.pth") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(crate / "model.pth", "w") as archive:
        for name, data in records.items():
            if not name.endswith("contract.json"):
                archive.writestr(name, data)
        if text is not None:
            archive.writestr("model/extra/contract.json", text)


@pytest.mark.parametrize("name", BROKEN)
def test_a_model_with_a_malformed_contract_is_one_line(
    sealed: Path, libtorch: Path, tmp_path: Path, name: str
) -> None:
    crate = Path(shutil.copytree(sealed, tmp_path / "crate"))
    with_contract(crate, BROKEN[name])
    said = "it carries no contract" if name in ("none", "empty") else "not a contract: "
    runners = ("run_onnx.py", "run_eager.py") if name in ("none", "a number") else ("run_onnx.py",)

    for program in runners:
        done = Runner(program, crate, libtorch)("--image", SAMPLE)
        assert re.fullmatch(rf"Error: .* refused \S+: {said}.*\n", done.stderr)
        assert done.returncode == errors.RunnerError.exit_code


@pytest.mark.parametrize(
    "changed",
    [
        {"labels": ["a"]},
        {"outputs": [SPEC["outputs"][0] | {"axes": ["batch", 11]}]},
        {"outputs": [SPEC["outputs"][0] | {"dtype": "float64"}]},
    ],
    ids=["one label", "axes", "dtype"],
)
def test_a_contract_that_the_model_does_not_keep_is_one_line(
    sealed: Path, libtorch: Path, tmp_path: Path, changed: dict[str, object]
) -> None:
    crate = Path(shutil.copytree(sealed, tmp_path / "crate"))
    with_contract(crate, json.dumps(SPEC | changed))

    done = Runner("run_onnx.py", crate, libtorch)("--image", SAMPLE)

    assert re.fullmatch(r"Error: .*(each label|the contract has).*\n", done.stderr)
    assert done.returncode == errors.ContractError.exit_code
    assert done.stdout == ""

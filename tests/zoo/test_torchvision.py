"""Networks that nobody here wrote: torchvision's, by the command line and all of them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from torchcrate.export.asking import asking
from torchcrate.model import weights
from torchcrate.model.contract import Contract
from torchcrate.model.eager import answers
from torchcrate.model.tolerance import difference, spread
from torchcrate.release.manifest import Manifest

pytestmark = pytest.mark.seconds(50)

HERE = Path(__file__).parent

with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(HERE)
    from networks import enliven, pictures, zoo
    from survey import RESULTS, read, table

Run = Callable[..., "subprocess.CompletedProcess[str]"]
KINDS = {"classification": 80, "segmentation": 6, "detection": 12, "video": 9}


def test_a_network_of_torchvision_goes_by_the_command_line(torchcrate: Run, tmp_path: Path) -> None:
    found = next(each for each in zoo() if each.name == "resnet18")
    loaded = weights.load(found.spec(free=True))
    enliven(loaded.network, found.spec(free=True))
    torch.save(loaded.network.state_dict(), tmp_path / "net.pth")

    done = torchcrate(
        *("export", "torchvision.models:resnet18", "--version", "1.0.0"),
        *("--input", "image:float32[batch,3,height,width]"),
        *("--checkpoint", tmp_path / "net.pth", "--out", tmp_path / "crate"),
        "--json",
    )

    assert done.returncode == 0, done.stderr
    contract = Manifest.parse(done.stdout.encode()).contract
    assert [given.axes for given in contract.inputs] == [("batch", 3, "height", "width")]
    assert _off(loaded.module, contract, tmp_path / "crate") < 1e-4


def _off(module: torch.nn.Module, contract: Contract, crate: Path) -> float:
    """Return the largest difference of the files to eager, on pictures of two sizes."""
    cases = {
        f"{height}x{width}": {"image": pictures((count, 3, height, width), seed=count)}
        for count, height, width in ((4, 128, 128), (1, 96, 200))
    }
    want = answers(module, contract, cases)
    assert spread(want.values()) > 0.01
    most = 0.0
    for runtime, file in (("torchscript", "model.pt"), ("onnx", "model.onnx")):
        with asking(runtime, contract, crate / file) as ask:
            for case, inputs in cases.items():
                (got,) = ask(inputs)
                off = difference(got, want[case][contract.outputs[0].name])
                most = max(most, float(off.max()))
    return most


def test_fresh_weights_are_made_to_tell_pictures_apart() -> None:
    found = next(each for each in zoo() if each.name == "mobilenet_v3_small")
    spec = found.spec(free=False)
    cases = {"only": {"image": pictures((3, 3, 128, 128), seed=3)}}
    network = weights.load(spec).network

    def told() -> float:
        with torch.inference_mode():
            got = network(torch.from_numpy(cases["only"]["image"]))
        return spread([{"output": got.numpy()}])

    fresh = told()
    enliven(network, spec)

    assert fresh < 1e-6 < 1e-2 < told()


def test_the_zoo_is_all_of_torchvision() -> None:
    kinds = [each.kind for each in zoo()]

    assert {kind: kinds.count(kind) for kind in KINDS} == KINDS


@pytest.mark.proof
def test_every_network_of_torchvision_is_right_or_refused() -> None:
    subprocess.run([sys.executable, HERE / "survey.py"], check=True)

    entries = read(RESULTS)

    print(f"\n{table(entries)}")
    assert not [entry.name for entry in entries if entry.verdict == "broken"]
    wrong = [e.name for e in entries if e.kind == "classification" and e.verdict != "right"]
    assert not wrong

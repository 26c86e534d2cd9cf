"""The default network described: MNIST's digits, read from any picture. Needs no torch."""

from pathlib import Path

from torchcrate.model.spec import ModelSpec

_HERE = "torchcrate.model"

MNIST = ModelSpec(
    name="mnist-net",
    program="run_mnist.py",
    build=f"{_HERE}.net:Net",
    preprocess=f"{_HERE}.preprocess:Preprocess",
    checkpoint=Path(__file__).with_name("net.pth"),
    inputs=("image:uint8[batch,1,height,width] in 0..255 as image",),
    outputs=("log_probs:float32[batch,10] in ..0 as log-probabilities",),
    labels=tuple("0123456789"),
    tolerances={"eager": 5e-6, "torchscript": 5e-6, "libtorch": 5e-6, "onnx": 2e-5},
    exact=("eager", "torchscript", "libtorch"),
    samples=f"{_HERE}.samples:samples",
    golden=f"{_HERE}.samples:golden",
    data=f"{_HERE}.mnist:test_images",
    calibration=f"{_HERE}.mnist:calibration",
    truth=f"{_HERE}.mnist:test_labels",
    formats=("eager", "torchscript", "onnx", "cpp"),
    budget={"latency": 12, "size": 2_500_000},  # 3.2 and 1.3 MB when they were set
)
"""The default network: reads a handwritten digit from an image of any size."""

DIGITS = MNIST.contract

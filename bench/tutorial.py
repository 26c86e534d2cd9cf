"""The training loop of PyTorch's basic MNIST example, which says what it reaches, and when.

    python -m torchcrate.bench.tutorial DATA EPOCHS SEED

A DataLoader decodes and normalises each image in Python, 64 a step. Prints a line of JSON an
epoch: seconds since the start, judging left out, and accuracy on the 10,000 test images.
"""

import json
import sys
import time

import torch
from torch import optim
from torch.nn import functional

from torchcrate.model.net import Net
from torchcrate.model.operators import declare_missing_operators
from torchcrate.model.preprocess import Preprocess


def main(data: str, epochs: str, seed: str) -> int:
    """Train for so many epochs."""
    begun, judging = time.perf_counter(), 0.0
    declare_missing_operators()
    from torchvision import datasets, transforms

    torch.manual_seed(int(seed))
    numbers = transforms.Normalize((Preprocess.mean,), (Preprocess.deviation,))
    transform = transforms.Compose([transforms.ToTensor(), numbers])
    train, test = (datasets.MNIST(data, train=each, transform=transform) for each in (True, False))
    batches = torch.utils.data.DataLoader(train, batch_size=64, shuffle=True)
    judged = torch.utils.data.DataLoader(test, batch_size=1000)
    net = Net(dropout2d=0.5, dropout=0.5)
    optimiser = optim.SGD(net.parameters(), lr=0.01, momentum=0.5)
    for _ in range(int(epochs)):
        net.train()
        for images, labels in batches:
            optimiser.zero_grad()
            functional.nll_loss(net(images), labels).backward()
            optimiser.step()
        seconds = time.perf_counter() - begun - judging
        net.eval()
        with torch.inference_mode():
            right = sum(int((net(x).argmax(1) == y).sum()) for x, y in judged)
        judging = time.perf_counter() - begun - seconds
        print(json.dumps({"seconds": seconds, "accuracy": right / len(test)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Training the default network on MNIST, through the pixels-in contract that ships."""

import io
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import swa_utils

from torchcrate.files import write_whole
from torchcrate.model import mnist
from torchcrate.model.augment import augment
from torchcrate.model.net import Net
from torchcrate.model.preprocess import Preprocess
from torchcrate.model.record import Record


@dataclass(frozen=True)
class Settings:
    """Every number that training depends on.

    The defaults were chosen by validation accuracy; docs/training.md has the table.

    Attributes:
        seed: Of the split, the first weights, the order and the distortions.
        epochs: Passes over the 55,000 training images.
        batch: Images a step.
        rate: Peak of the one-cycle learning rate of AdamW.
        decay: AdamW's weight decay.
        average: Decay of the running mean of the weights, which is what is kept.
        dropout2d: See `Net`.
        dropout: See `Net`.
        validation: Images of the training set held out to choose by.
    """

    seed: int = 1
    epochs: int = 16
    batch: int = 256
    rate: float = 0.006
    decay: float = 0.01
    average: float = 0.998
    dropout2d: float = 0.0
    dropout: float = 0.0
    validation: int = 5000


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images.

    Attributes:
        number: From 1.
        loss: Mean over the pass.
        accuracy: On the validation images, in [0, 1].
        seconds: From the beginning of training to the end of this pass.
    """

    number: int
    loss: float
    accuracy: float
    seconds: float


def train(
    data_dir: Path,
    out: Path,
    settings: Settings,
    on_step: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> Record:
    """Train `Net`, write its state_dict to `out` and the record beside it.

    The same settings give the same bytes on the same machine. After each epoch that
    reads the validation images better than all before, `out` is replaced whole; an
    interrupted run therefore leaves the last good checkpoint.

    Args:
        data_dir: MNIST in torchvision's layout; downloaded when absent.
        out: The checkpoint to write.
        settings: What to train with.
        on_step: Called after each of `steps(settings)` optimiser steps.
        on_epoch: Called after each epoch.

    Raises:
        FolderError: If the data is not to be had or `out` cannot be written.
    """
    with _seeded(settings.seed):
        pictures, labels = _pictures(data_dir, train=True)
        order = torch.randperm(len(labels))
        held, rest = order[: settings.validation], order[settings.validation :]
        best, kept = -1.0, b""
        epochs = _epochs(pictures[rest], labels[rest], settings, on_step)
        started = time.monotonic()
        for number, (net, loss) in enumerate(epochs, start=1):
            accuracy, _ = _judge(net, pictures[held], labels[held])
            if accuracy > best:
                if not kept:
                    Record.remove(out)  # it speaks of the weights that are replaced now
                best, kept = accuracy, _state_bytes(net)
                write_whole(out, kept)
            on_epoch(Epoch(number, loss, accuracy, time.monotonic() - started))
    return _record(kept, data_dir, best, settings, out)


def steps(settings: Settings) -> int:
    """Return how often `train` calls `on_step`."""
    return settings.epochs * ((60_000 - settings.validation) // settings.batch)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _pictures(data_dir: Path, *, train: bool) -> tuple[Tensor, Tensor]:
    images, labels = mnist.load(data_dir, train=train, download=True)
    preprocess = Preprocess()
    return torch.cat([preprocess.picture(part) for part in images.split(1000)]), labels


def _epochs(
    pictures: Tensor, labels: Tensor, settings: Settings, on_step: Callable[[], None]
) -> Iterator[tuple[nn.Module, float]]:
    """Yield the averaged network and the mean training loss after each epoch."""
    net = Net(settings.dropout2d, settings.dropout)
    optimiser = torch.optim.AdamW(net.parameters(), settings.rate, weight_decay=settings.decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.rate, total_steps=steps(settings)
    )
    mean = swa_utils.get_ema_multi_avg_fn(settings.average)
    average = swa_utils.AveragedModel(net, multi_avg_fn=mean)
    whole = len(labels) // settings.batch * settings.batch
    for _ in range(settings.epochs):
        losses = []
        for batch in torch.randperm(len(labels))[:whole].split(settings.batch):
            answers = net(_normalise(augment(pictures[batch], labels[batch])))
            loss = functional.nll_loss(answers, labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            average.update_parameters(net)
            losses.append(loss.item())
            on_step()
        yield average.module, sum(losses) / len(losses)


def _normalise(pictures: Tensor) -> Tensor:
    return (pictures - Preprocess.mean) / Preprocess.deviation


def _judge(net: nn.Module, pictures: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return accuracy in [0, 1] and mean loss of `net` in eval mode."""
    net.eval()
    with torch.inference_mode():
        answers = torch.cat([net(_normalise(part)) for part in pictures.split(1000)])
    right = int((answers.argmax(1) == labels).sum())
    return right / len(labels), functional.nll_loss(answers, labels).item()


def _state_bytes(net: nn.Module) -> bytes:
    buffer = io.BytesIO()
    torch.save({key: value.clone() for key, value in net.state_dict().items()}, buffer)
    return buffer.getvalue()


def _record(state: bytes, data_dir: Path, best: float, settings: Settings, out: Path) -> Record:
    net = Net()
    net.load_state_dict(torch.load(io.BytesIO(state), weights_only=True))
    accuracy, loss = _judge(net, *_pictures(data_dir, train=False))
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
    }
    record = Record(
        sha256(state).hexdigest(),
        accuracy,
        loss,
        best,
        asdict(settings),
        versions,
        mnist.digests(data_dir),
    )
    record.write(out)
    return record

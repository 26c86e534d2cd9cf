"""`python -m torchcrate` is `torchcrate`."""

from torchcrate.cli import run

run()

"""Commands that judge what was pulled: check."""

from pathlib import Path

import click

from torchcrate.commands.options import PATH, as_json, verify_key_option
from torchcrate.commands.show import say


@click.command()
@click.argument("path", metavar="DIR|FILE", type=PATH, default=Path("."))
@verify_key_option("EC public key, PEM, of whoever must have signed.", required=True)
@as_json
def check(path: Path, verify_key: Path, as_json: bool) -> None:
    """Hold a pulled crate, or one file of it, to the signature beside it; needs no network.

    One file is enough, say model.onnx, with manifest.json and manifest.sig beside it: the
    signature is over the manifest, and the manifest states the sha256 of every file.

    Example: torchcrate check build/pulled/model.onnx --verify-key publisher.pub.pem
    """
    from torchcrate.release.trust import vouch

    checked = vouch.check(path, verify_key)
    say(as_json, checked, vouch.sentence(checked, verify_key))

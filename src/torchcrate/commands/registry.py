"""Commands that speak with a registry: publish, pull, versions, number."""

import os
from pathlib import Path

import click

from torchcrate.commands.options import (
    FOLDER,
    as_json,
    crate_argument,
    opened,
    registry_options,
    sign_key_option,
    verify_key_option,
)
from torchcrate.commands.show import say, transferred


@click.command()
@crate_argument
@registry_options("--to")
@click.option("--dry-run", is_flag=True, help="Show every request, and store nothing.")
@sign_key_option
@as_json
def publish(
    crate: Path,
    address: str | None,
    allow_http: bool,
    dry_run: bool,
    sign_key: Path | None,
    as_json: bool,
) -> None:
    """Publish a sealed crate; readers see the whole version or none of it.

    Example: torchcrate publish build/crate --to https://gitlab.example.com/group/project
    """
    from torchcrate.release.publish import publish as published
    from torchcrate.release.trust.signature import Signer

    password = os.environ.get("TORCHCRATE_SIGN_PASSWORD")
    signer = Signer.from_file(sign_key, password) if sign_key else None
    with opened(address, allow_http, rehearse=dry_run) as registry:
        done = published(crate, registry, transferred, signer=signer)
    what = "would be published" if dry_run else "published"
    if done.already_there:
        what = "is already there, the same content"
    say(as_json, done, f"{done.name} {done.version} {what}: {done.where}")


@click.command()
@click.argument("reference", metavar="NAME@VERSION")
@registry_options("--from")
@click.option("--out", type=FOLDER, help="Where the crate appears.  [default: NAME]")
@click.option("--pre", is_flag=True, help="Let NAME@latest be a pre-release.")
@verify_key_option("EC public key, PEM; refuse what its owner did not sign.")
@as_json
def pull(
    reference: str,
    address: str | None,
    allow_http: bool,
    out: Path | None,
    pre: bool,
    verify_key: Path | None,
    as_json: bool,
) -> None:
    """Fetch a version, check every byte, then let it appear; NAME@latest follows SemVer.

    Without --verify-key each file is the one that the version's manifest states, model.pth
    can run no code and model.onnx reaches for no file outside; who wrote that manifest, and
    the programs and TorchScript it states, only the registry knows.

    Example: torchcrate pull mnist-net@latest --from build/registry --out build/pulled
    """
    from torchcrate.release.pull import pull as pulled

    out = out or Path(reference.partition("@")[0])
    with opened(address, allow_http) as registry:
        manifest = pulled(reference, registry, out, transferred, pre=pre, verify_key=verify_key)
    signed = f", signed with {verify_key.name}" if verify_key else ""
    what = f"{manifest.name} {manifest.version}, {len(manifest.files)} files{signed}"
    say(as_json, manifest, f"{out}: {what}")


@click.command()
@click.argument("name")
@registry_options("--from")
@as_json
def versions(name: str, address: str | None, allow_http: bool, as_json: bool) -> None:
    """List the published versions of a crate, the oldest first.

    Example: torchcrate versions mnist-net --from build/registry
    """
    from torchcrate.release.manifest import check_name

    with opened(address, allow_http) as registry:
        found = registry.versions(check_name(name))
        say(as_json, found, "\n".join(found) or f"{registry.where} has no version of {name}")


@click.command()
@click.argument("name")
@registry_options("--from")
@as_json
def number(name: str, address: str | None, allow_http: bool, as_json: bool) -> None:
    """Print the version that this GitLab pipeline publishes; VERSION holds the next release.

    Example: torchcrate number mnist-net
    """
    from torchcrate.release import numbering, origin
    from torchcrate.release.manifest import check_name

    with opened(address, allow_http) as registry:
        published = registry.versions(check_name(name))
    pipeline = numbering.Pipeline.from_env(os.environ)
    version = numbering.number(pipeline, origin.version_of(Path.cwd()), published)
    say(as_json, version, version)

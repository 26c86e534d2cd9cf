"""Commands that speak with a registry: publish, pull, versions, number."""

import os
from pathlib import Path
from typing import Any

import click

from torchcrate.commands.options import (
    FOLDER,
    as_json,
    cache_of,
    cache_options,
    crate_argument,
    opened,
    registry_options,
)
from torchcrate.commands.show import notice, say, transfer


@click.command()
@crate_argument
@registry_options("--to")
@as_json
def publish(crate: Path, address: str | None, allow_http: bool, as_json: bool) -> None:
    """Publish a sealed crate; readers see the whole version or none of it.

    Example: torchcrate publish build/crate --to https://gitlab.example.com/group/project
    """
    from torchcrate.release.publish import publish as published

    with opened(address, allow_http) as registry, transfer() as (moved, _):
        done = published(crate, registry, moved)
    what = "is already there, the same content" if done.already_there else "published"
    say(as_json, done, f"{done.name} {done.version} {what}: {done.where}")


@click.command()
@click.argument("reference", metavar="NAME@VERSION")
@registry_options("--from")
@click.option("--out", type=FOLDER, help="Where the crate appears.  [default: NAME]")
@click.option("--pre", is_flag=True, help="Let NAME@latest be a pre-release.")
@click.option(
    "--only",
    multiple=True,
    metavar="FORMAT",
    help="onnx, torchscript, eager or cpp, with its runner alone; may be repeated.",
)
@click.option("--selftest", is_flag=True, help="Then replay the golden vectors on this machine.")
@click.option("--offline", is_flag=True, help="Ask nobody: take what was pulled before.")
@cache_options
@as_json
def pull(
    reference: str,
    address: str | None,
    allow_http: bool,
    out: Path | None,
    selftest: bool,
    cache: Path | None,
    no_cache: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Fetch a version, check every byte, then let it appear; NAME@latest follows SemVer.

    Example: torchcrate pull mnist-net@latest --from build/registry --out build/pulled
    """
    from torchcrate.release.pull import pull as pulled

    out = out or Path(reference.partition("@")[0])
    kept = cache_of(address, cache, no_cache)
    with opened(address, allow_http) as registry, transfer() as (moved, total):
        manifest = pulled(
            reference, registry, out, moved, cache=kept, on_total=total, on_notice=notice, **how
        )
    count = len(manifest.only(how["only"]))
    say(as_json, manifest, f"{out}: {manifest.name} {manifest.version}, {count} files")
    if selftest:
        from torchcrate.release.selftest import selftest as replay

        notice(replay(out, manifest))


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

"""Commands that speak with a registry: publish, pull, yank, versions, number."""

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
    sign_key_option,
    verify_key_option,
)
from torchcrate.commands.show import notice, say, transfer


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
    with opened(address, allow_http, rehearse=dry_run) as registry, transfer() as (moved, total):
        done = published(crate, registry, moved, notice, signer=signer, on_total=total)
    what = "would be published" if dry_run else "published"
    if done.already_there:
        what = "is already there, the same content"
    say(as_json, done, f"{done.name} {done.version} {what}: {done.where}")


@click.command()
@click.argument("reference", metavar="NAME@VERSION")
@registry_options("--from")
@click.option("--out", type=FOLDER, help="Where the crate appears.  [default: NAME]")
@click.option("--pre", is_flag=True, help="Let NAME@latest or a range be a pre-release.")
@verify_key_option("EC public key, PEM; what its owner did not sign is refused, exit code 9.")
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
    verify_key: Path | None,
    selftest: bool,
    cache: Path | None,
    no_cache: bool,
    as_json: bool,
    **how: Any,
) -> None:
    """Fetch a version, check every byte, then let it appear; NAME@latest follows SemVer.

    NAME@^1.2, NAME@1 or 'NAME@>=1,<2' is the newest version inside that range.

    Without --verify-key each file is the one that the version's manifest states, model.pth
    can run no code and model.onnx reaches for no file outside; who wrote that manifest, and
    the programs and TorchScript it states, only the registry knows.

    Example: torchcrate pull mnist-net@latest --from build/registry --out build/pulled
    """
    from torchcrate.release.pull import pull as pulled

    out = out or Path(reference.partition("@")[0])
    kept = cache_of(address, cache, no_cache)
    how |= {"cache": kept, "verify_key": verify_key, "on_notice": notice}
    with opened(address, allow_http) as registry, transfer() as (moved, total):
        manifest = pulled(reference, registry, out, moved, on_total=total, **how)
    count = len(manifest.only(how["only"]))
    signed = f", signed with {verify_key.name}" if verify_key else ""
    what = f"{manifest.name} {manifest.version}, {count} files{signed}"
    say(as_json, manifest, f"{out}: {what}")
    if selftest:
        from torchcrate.release.selftest import selftest as replay

        notice(replay(out, manifest))


@click.command()
@click.argument("reference", metavar="NAME@VERSION")
@click.option("--why", help="The reason, for everybody who pulls the version.")
@click.option("--undo", is_flag=True, help="Take the mark back: the version may be taken again.")
@registry_options("--from")
@as_json
def yank(
    reference: str,
    why: str | None,
    undo: bool,
    address: str | None,
    allow_http: bool,
    as_json: bool,
) -> None:
    """Mark a published version as one that nobody should take; its files stay as they are.

    NAME@latest skips it, pulling it by its number warns, publishing to it is refused.

    Example: torchcrate yank mnist-net@1.0.0 --why "reads 7 as 1" --from build/registry
    """
    from datetime import UTC, datetime

    from torchcrate.errors import UsageError
    from torchcrate.release import yank as mark

    if undo and why is not None:
        raise UsageError("--undo takes the reason back with the mark: leave --why out")
    with opened(address, allow_http) as registry:
        now = datetime.now(UTC)
        if undo:
            done = mark.undo(reference, registry, now)
        else:
            done = mark.yank(reference, why or "", registry, now)
    words = "is not yanked"
    if done.mark:
        state = "was" if done.mark.undone else "is"
        words = f"{state} {'already ' if done.already_there else ''}{done.mark.words()}"
    say(as_json, done, f"{done.name} {done.version} in {done.where} {words}")


@click.command()
@click.argument("name")
@registry_options("--from")
@as_json
def versions(name: str, address: str | None, allow_http: bool, as_json: bool) -> None:
    """List the published versions of a crate, the oldest first, and what is known of each.

    The parity margin is how many times the difference that its runtimes needed was allowed.

    Example: torchcrate versions mnist-net --from build/registry
    """
    from torchcrate.release.history import history, table_of
    from torchcrate.release.manifest import check_name

    with opened(address, allow_http) as registry:
        found = history(registry, check_name(name))
        words = table_of(found) if found else f"{registry.where} has no version of {name}"
    say(as_json, found, words)


@click.command()
@click.argument("name")
@registry_options("--from")
@as_json
def number(name: str, address: str | None, allow_http: bool, as_json: bool) -> None:
    """Print the version that this GitLab pipeline publishes.

    The file VERSION holds the next release, or else `project.version` in pyproject.toml; where
    neither does, the tag alone counts.

    Example: torchcrate number mnist-net
    """
    from torchcrate.release import numbering, origin
    from torchcrate.release.manifest import check_name

    with opened(address, allow_http) as registry:
        published = registry.versions(check_name(name))
    pipeline = numbering.Pipeline.from_env(os.environ)
    version = numbering.number(pipeline, origin.next_release(Path.cwd()), published)
    say(as_json, version, version)

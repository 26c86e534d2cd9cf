"""Commands that tell people of a version: diff, release, notify."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from torchcrate.commands.options import FILE, as_json, opened, registry_options
from torchcrate.commands.show import notice, say

if TYPE_CHECKING:
    from torchcrate.release.announce.diff import Side
    from torchcrate.release.announce.notes import Notes

changelog_option = click.option(
    "--changelog",
    type=FILE,
    default=Path("CHANGELOG.md"),
    show_default=True,
    help="Whose section of this version is told; need not exist.",
)


@click.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@registry_options("--from")
@click.option("--exit-code", is_flag=True, help="Exit with 3 if the contract breaks.")
@as_json
def diff(
    old: str, new: str, address: str | None, allow_http: bool, exit_code: bool, as_json: bool
) -> None:
    """Compare two versions by what they do; each is NAME@VERSION or the folder of a crate.

    Example: torchcrate diff mnist-net@1.0.0 build/crate --from build/registry
    """
    from torchcrate.errors import ContractError
    from torchcrate.release.announce.diff import difference
    from torchcrate.release.announce.words import shown

    with ExitStack() as stack:
        one, other = (_side(each, address, allow_http, stack) for each in (old, new))
    found = difference(one, other)
    say(as_json, found, shown(found))
    if exit_code and found.breaks:
        breaks = "; ".join(change.what for change in found.contract if change.breaks)
        raise ContractError(f"the contract of {found.new} breaks that of {found.old}: {breaks}")


@click.command()
@click.argument("reference", metavar="NAME@VERSION")
@registry_options("--from")
@click.option(
    "--tag", envvar="CI_COMMIT_TAG", show_envvar=True, help="Of the project.  [default: vVERSION]"
)
@changelog_option
@as_json
def release(
    reference: str,
    address: str | None,
    allow_http: bool,
    tag: str | None,
    changelog: Path,
    as_json: bool,
) -> None:
    """Make the GitLab release of a published version, or bring it up to date.

    Its notes compare it with the version before. For a folder they are only printed.

    Example: torchcrate release mnist-net@1.0.0 --from https://gitlab.example.com/group/project
    """
    told = _notes(reference, address, allow_http, changelog)
    if address is not None and "://" not in address:
        notice(f"{address} is a folder and has no release pages; these are the notes:")
        say(as_json, told, told.body)
        return
    from torchcrate.release.announce import page
    from torchcrate.release.settings import Settings

    settings = Settings.from_env(address, os.environ, allow_http=allow_http)
    shown = page.show(told, tag or f"v{told.manifest.version}", settings, notice)
    what = "created" if shown.created else "brought up to date"
    say(as_json, shown, f"release {shown.tag} {what}, {len(shown.links)} links: {shown.url}")


@click.command()
@click.argument("reference", metavar="NAME@VERSION")
@registry_options("--from")
@click.option(
    "--to-urls",
    "urls",
    envvar="TORCHCRATE_NOTIFY_URLS",
    show_envvar=True,
    help="apprise's URLs of whom to tell; with a secret in one, set the variable instead.",
)
@changelog_option
@as_json
def notify(
    reference: str,
    address: str | None,
    allow_http: bool,
    urls: str | None,
    changelog: Path,
    as_json: bool,
) -> None:
    """Tell people of a published version by mail, chat or any other service of apprise.

    Exit code 10: the version stands, but somebody could not be told.

    Example: torchcrate notify mnist-net@1.0.0 --from https://gitlab.example.com/group/project
    """
    from torchcrate.release.announce.notify import notify as notified

    done = notified(_notes(reference, address, allow_http, changelog), urls or "")
    say(as_json, done, f"told of {done.title}: {', '.join(done.told)}")


def _side(named: str, address: str | None, allow_http: bool, stack: ExitStack) -> "Side":
    """Read one side of a comparison; a registry is opened only for NAME@VERSION."""
    from torchcrate.release.announce.diff import in_folder, in_registry, names_folder

    if names_folder(named):
        return in_folder(Path(named))
    return in_registry(named, stack.enter_context(opened(address, allow_http)))


def _notes(reference: str, address: str | None, allow_http: bool, changelog: Path) -> "Notes":
    """Write the notes of a version that a registry holds."""
    from torchcrate.release.announce import notes

    with opened(address, allow_http) as registry:
        return notes.notes(reference, registry, notes.read_changelog(changelog))

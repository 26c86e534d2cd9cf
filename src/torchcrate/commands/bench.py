"""The command that measures a crate: bench."""

from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from torchcrate.commands.options import (
    FOLDER,
    SEED,
    as_json,
    crate_argument,
    data_dir_option,
    needing,
    opened,
    registry_options,
    verify_key_option,
)
from torchcrate.commands.show import notice, say, words
from torchcrate.commands.target import importable_here
from torchcrate.errors import ContractError, TrustError, UsageError

if TYPE_CHECKING:
    from torchcrate.bench.budget import Budget
    from torchcrate.bench.setting import Setting
    from torchcrate.bench.subject import Subject
    from torchcrate.release.registry import Registry

_WHOLE = {"files": 10_000, "many": 200_000, "rounds": 7, "calls": 200}
_QUICK = {"files": 500, "many": 5_000, "rounds": 2, "calls": 100}


def _size_options(command: Any) -> Any:
    """Add the options that say how much is measured."""
    for option in (
        click.option("--quick", is_flag=True, help="Few files and few rounds: a minute or two."),
        click.option("--files", type=click.IntRange(10), help="PNGs to read.  [default: 10000]"),
        click.option("--many", type=click.IntRange(10), help="Of memory.  [default: 200000]"),
        click.option("--rounds", type=click.IntRange(1), help="Turns of each.  [default: 7]"),
        click.option("--calls", type=click.IntRange(1), help="Warm calls a turn.  [default: 200]"),
        click.option("--seed", type=SEED, default=1, show_default=True, help="Of the order."),
    ):
        command = option(command)
    return command


def _gate_options(command: Any) -> Any:
    """Add the options that hold a crate to a budget, and to another version."""
    for option in (
        click.option("--against", metavar="NAME@VERSION|DIR", help="Race this version, no loops."),
        registry_options("--from"),
        verify_key_option("EC public key, PEM: --against takes what its owner signed alone."),
        click.option(
            "--slower",
            type=click.FloatRange(1),
            help="How many times longer than --against it may take.  [default: 1.25]",
        ),
        click.option(
            "--budget-latency",
            type=click.FloatRange(0, min_open=True),
            help="The most a warm call may take, in products of two 128 x 128 matrices.",
        ),
        click.option("--budget-size", type=click.IntRange(1), help="The most bytes in all."),
    ):
        command = option(command)
    return command


@click.command()
@crate_argument
@click.option(
    "--part",
    "parts",
    multiple=True,
    help="files, start, latency, busy, memory (these without it), scale, export or training; "
    "may be repeated.",
)
@click.option("--scale", is_flag=True, help="How cost grows: --part scale.")
@click.option("--all", "every", is_flag=True, help="Every part.")
@_size_options
@data_dir_option
@click.option("--out", type=FOLDER, default=Path("build/bench"), show_default=True)
@click.option(
    "--build-dir", type=FOLDER, default=Path("build/cpp"), show_default=True, help="Of C++."
)
@_gate_options
@click.option("--enclose", is_flag=True, help="Put all figures into the sealed crate, as evidence.")
@as_json
def bench(
    crate: Path,
    parts: tuple[str, ...],
    scale: bool,
    every: bool,
    against: str | None,
    address: str | None,
    allow_http: bool,
    verify_key: Path | None,
    enclose: bool,
    as_json: bool,
    **named: Any,
) -> None:
    """Race a crate's programs against loops, bare imports and bare calls, in turns, in one run.

    Every figure that is judged is a ratio of two contestants of one round. With --against
    or a budget the crate is held to these alone: exit code 11 if it is slower or larger than
    it may be. What the options do not say, the budget of the network's spec does.

    Example: torchcrate bench build/crate --quick
    """
    with needing("export"):
        from torchcrate.bench import whole
        from torchcrate.bench.budget import GATE, latencies, require
        from torchcrate.bench.words import shown
        from torchcrate.release.crate import open_sealed
        from torchcrate.release.evidence import enclose as put

    asked = {name: named.pop(f"budget_{name}", None) for name in ("latency", "size")}
    asked["slower"] = named.pop("slower")
    subject, setting = _subject(crate), _setting(**named)
    if enclose:
        open_sealed(crate)  # refused before an hour has gone into it
    with ExitStack() as stack:
        if against or any(asked.values()):
            if parts or scale or every:
                raise UsageError("--against and budgets are a race of their own: leave parts out")
            before = None
            if against:
                opening = opened(address, allow_http)
                before = _before(against, subject, opening, verify_key, stack)
            budget = _budget(crate, asked)
            results = whole.gate_alone(subject, before, budget, setting)
        else:
            parts += ("scale",) if scale else ()
            results = whole.bench(subject, parts or whole.parts_of(setting, every=every), setting)
    written = whole.save(results, setting.out)
    say(as_json, results, shown(results))
    notice(f"bench: {', '.join(map(str, written))}")
    gates = [part for part in results.parts if part.name == GATE]
    for part in gates:
        require(part)
    if enclose:
        latency = {name: value for part in gates for name, value in latencies(part).items()}
        put(crate, written, latency)
        notice(f"bench: {crate} holds them as evidence")


def _budget(crate: Path, asked: dict[str, float | None]) -> "Budget":
    """Return what was asked, and what the spec says where nothing was, if it is found here."""
    from torchcrate import road
    from torchcrate.bench.budget import Budget
    from torchcrate.release.crate import stated

    said: dict[str, float] = {}
    try:
        importable_here()
        said = dict(road.spec_of_crate(crate, stated(crate)).budget)
    except (ContractError, UsageError) as error:
        notice(f"bench: the crate's spec is not found, nor is a budget in it: {error}")
    said |= {name: value for name, value in asked.items() if value is not None}
    return Budget(**said)


def _setting(
    quick: bool,
    seed: int,
    data_dir: Path | None,
    out: Path,
    build_dir: Path,
    **named: int | None,
) -> "Setting":
    from torchcrate.bench.race import Rules
    from torchcrate.bench.setting import Setting

    chosen = (_QUICK if quick else _WHOLE) | {
        name: number for name, number in named.items() if number is not None
    }
    rules = Rules(chosen["rounds"], 1, seed)
    say_step = words("bench")
    sizes = chosen["files"], chosen["many"], rules, chosen["calls"]
    return Setting(out, build_dir, data_dir, *sizes, say_step)


def _subject(crate: Path) -> "Subject":
    from torchcrate.bench.subject import Subject
    from torchcrate.release.crate import stated

    manifest = stated(crate)
    title = f"{manifest.name} {manifest.version}"
    return Subject(crate, title, manifest.content, manifest.contract, manifest.files)


def _before(
    named: str,
    subject: "Subject",
    opening: "AbstractContextManager[Registry]",
    verify_key: Path | None,
    stack: ExitStack,
) -> "Subject | None":
    """Return the version to race against, pulled for the occasion; None if `latest` is none."""
    from tempfile import TemporaryDirectory

    from torchcrate.release.announce.diff import names_folder
    from torchcrate.release.history import is_pre
    from torchcrate.release.pull import pull
    from torchcrate.release.reference import LATEST
    from torchcrate.release.registry import NotFoundError

    if names_folder(named):
        return _subject(Path(named))
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="torchcrate-"))) / "before"
    pre = is_pre(subject.title.rpartition(" ")[2])
    try:
        with opening as registry:
            pull(named, registry, folder, pre=pre, verify_key=verify_key, on_notice=notice)
    except (NotFoundError, TrustError) as error:  # say no version is signed with a new key yet
        if not named.endswith(f"@{LATEST}"):
            raise
        notice(f"bench: nothing to race against: {error}")
        return None
    return _subject(folder)

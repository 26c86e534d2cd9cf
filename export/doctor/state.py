"""Checks of what a network holds, without asking it anything."""

from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from torchcrate.export.behaviour import equal
from torchcrate.export.doctor.check import Check, listed
from torchcrate.export.place import module_at, of_class, of_forward, part_of


def weights(network: nn.Module) -> Check:
    """Find parameters that are not finite; a buffer may hold infinities, as masks do."""
    spoilt = [name for name, one in network.named_parameters() if not _finite(one)]
    buffers = [name for name, one in network.named_buffers() if _has_nan(one)]
    found = [
        f"{listed(bad)} {'holds' if len(bad) == 1 else 'hold'} {what}"
        for bad, what in ((spoilt, "NaN or infinity"), (buffers, "NaN"))
        if bad
    ]
    if found:
        do = "take a checkpoint from before the training diverged"
        return Check("weights", "fault", "; ".join(found), do=do)
    state = network.state_dict()
    count = sum(one.numel() for one in state.values())
    masks = [name for name, one in network.named_buffers() if not _finite(one)]
    but = f" but for infinities in {listed(masks)}, as masks have them" if masks else ""
    return Check("weights", "ok", f"{len(state)} tensors, {count:,} numbers, all finite{but}")


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all()) if tensor.is_floating_point() else True


def _has_nan(tensor: Tensor) -> bool:
    return bool(tensor.isnan().any()) if tensor.is_floating_point() else False


def shared(network: nn.Module) -> Check:
    """Name parameters that are one tensor under several names."""
    names: dict[int, list[str]] = {}
    for name, one in network.named_parameters(remove_duplicate=False):
        names.setdefault(id(one), []).append(name)
    tied = [same for same in names.values() if len(same) > 1]
    if not tied:
        return Check("shared", "ok", "each parameter has one name")
    words = "; ".join(" and ".join(same) for same in tied[:5])
    return Check(
        "shared",
        "note",
        f"{words} {'are' if len(tied) == 1 else 'are each'} one tensor: "
        "every format holds it once, model.pth under all its names",
    )


def lost(network: nn.Module, again: Callable[[], nn.Module]) -> Check:
    """Name tensors that a state_dict does not hold.

    Args:
        network: With its weights.
        again: Builds the network anew, with other random numbers.
    """
    held = {id(one) for one in network.state_dict(keep_vars=True).values()}
    loose = {path: one for path, one in _loose(network) if id(one) not in held}
    if not loose:
        return Check("state", "ok", "a state_dict holds all of its tensors")
    other = dict(_loose(again()))
    random = [path for path, one in loose.items() if not equal(one, other.get(path))]
    owner = _owner(network, next(iter(random or loose)))
    where = part_of(network, owner, of_class(module_at(network, owner)) or "")
    if random:
        return Check(
            "state",
            "fault",
            f"{listed(random)}: no state_dict holds "
            f"{'it' if len(random) == 1 else 'them'}, and each build makes another one",
            where,
            "make it an nn.Parameter or register_buffer; a list of modules an nn.ModuleList",
        )
    return Check(
        "state",
        "note",
        f"{listed(list(loose))}: no state_dict holds {'it' if len(loose) == 1 else 'them'}, "
        "each build makes the same again",
        where,
        "register_buffer, if a checkpoint should bring it",
    )


def _loose(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield tensors that are plain attributes, in lists and mappings too, or in loose modules."""
    for path, part in network.named_modules():
        prefix = f"{path}." if path else ""
        for name in sorted(part._non_persistent_buffers_set):
            buffer = part._buffers.get(name)
            if buffer is not None:
                yield f"{prefix}{name}", buffer
        for name, value in vars(part).items():
            if not name.startswith("_") or isinstance(value, Tensor):
                yield from _tensors(f"{prefix}{name}", value)


def _tensors(path: str, value: object) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    elif isinstance(value, nn.Module):  # in a plain list: torch does not know of it
        yield from ((f"{path}.{name}", one) for name, one in value.state_dict().items())
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _tensors(f"{path}[{number}]", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _tensors(f"{path}[{key!r}]", part)


def _owner(network: nn.Module, path: str) -> str:
    """Return the part of the network that has this attribute."""
    modules = dict(network.named_modules())
    plain = path.partition("[")[0]
    while plain not in modules:
        plain = plain.rpartition(".")[0]
    return plain


def mode(module: nn.Module) -> Check:
    """Find parts in train mode, and norms that use the statistics of the batch they are given."""
    training = [path for path, part in module.named_modules() if part.training]
    if training:
        part = module_at(module, training[0])
        return Check(
            "mode",
            "fault",
            f"{listed([path or 'the whole network' for path in training])} "
            f"{'is' if len(training) == 1 else 'are'} in train mode after eval()",
            part_of(module, training[0], of_forward(part) or ""),
            "let train() and eval() reach it: call super().train(mode) where it is overridden",
        )
    norms = [
        path
        for path, part in module.named_modules()
        if isinstance(part, _BatchNorm) and part.running_mean is None
    ]
    if norms:
        return Check(
            "mode",
            "note",
            f"{listed(norms)} takes mean and deviation of the batch itself, in eval mode too: "
            "an answer depends on what else is in the batch",
            part_of(module, norms[0], ""),
            "track_running_stats=True, unless that is meant",
        )
    return Check("mode", "ok", "all parts are in eval mode")

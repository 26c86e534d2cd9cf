"""The files of a pulled crate, judged before they appear: none may do more than it is for.

Sums only say that a file is the one its manifest states. Whoever wrote the manifest may have
meant harm, so each file that a runtime loads is read here, by its own format's rules and
without that runtime. Programs are not judged: Python and C++ sources, the TorchScript code in
model.pt and the network of model.onnx do what their author wrote, and are worth what the
signature over the manifest is worth.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torchcrate.errors import TrustError
from torchcrate.export.artifact import Artifact, Role
from torchcrate.files import reading
from torchcrate.release.manifest import Manifest

if TYPE_CHECKING:
    from torchcrate.release.trust.pickles import Rules

_SUFFIXES: Mapping[str, tuple[Role, ...]] = {
    ".pth": ("state_dict",),
    ".pt": ("torchscript",),
    ".onnx": ("onnx", "variant"),
    ".data": ("weights",),
    ".safetensors": ("golden",),
}
# What torch and torchcrate put into an archive; anything else could send torch another way.
_COMMON = r"data\.pkl|version|byteorder|\.format_version|\.storage_alignment|data/\d+|extra/[\w.-]+"
_COMMON += r"|\.data/serialization_id"
_STATE_DICT = re.compile(_COMMON, re.ASCII)
_TORCHSCRIPT = re.compile(
    rf"{_COMMON}|constants\.pkl|constants/\d+|code/__torch__(/\w+)*\.py", re.ASCII
)
_LARGEST_HEADER = 16 * 2**20  # bytes; a thousand golden vectors need a hundredth
_WIDTHS = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}


def examine(folder: Path, manifest: Manifest) -> None:
    """Return if no file in `folder` would do more than be a model or hold numbers.

    Args:
        folder: Holds files of a crate, already held to their sums.
        manifest: States them; those that are not in `folder` are passed over.

    Raises:
        TrustError: If a state_dict or TorchScript archive holds a pickle that could run
            code or is no plain archive, an ONNX model points at files outside the crate,
            golden vectors lie about their size, or a name and a role do not fit.
        FolderError: If a file cannot be read.
    """
    judges: dict[Role, Callable[[Path], None]] = {
        "state_dict": _state_dict,
        "torchscript": _torchscript,
        "onnx": lambda path: _onnx(path, manifest.files),
        "variant": lambda path: _onnx(path, ()),
        "golden": _safetensors,
    }
    for file in manifest.files:
        # Runners know their model by its name: a role must not lead past the judge.
        meant = _SUFFIXES.get(Path(file.name.lower()).suffix, ())
        if file.role not in meant and (meant or file.role in judges):
            raise TrustError(f"{file.name} has the role {file.role}, which its name does not fit")
        if file.role in judges and (folder / file.name).exists():
            judges[file.role](folder / file.name)


# Each judge imports what it needs: a pull is half done by then, and was not kept waiting.


def _state_dict(path: Path) -> None:
    from torchcrate.release.trust import pickles

    _archive(path, _STATE_DICT, ("data.pkl",), pickles.STATE_DICT)


def _torchscript(path: Path) -> None:
    from torchcrate.release.trust import pickles

    _archive(path, _TORCHSCRIPT, ("data.pkl", "constants.pkl"), pickles.TORCHSCRIPT)


def _onnx(path: Path, files: Collection[Artifact]) -> None:
    from torchcrate.release.trust import graph

    graph.judge(path, _weights(path.name, files))


def _weights(model: str, files: Collection[Artifact]) -> set[str]:
    """Return the file that an ONNX model may take weights from, if the manifest lists it.

    It has to come with the model into every pull, or the model would look for it in vain.
    """
    formats = {format for file in files if file.name == model for format in file.formats}
    return {
        file.name
        for file in files
        if file.name == f"{model}.data"
        and file.role == "weights"
        and (not file.formats or (formats and formats <= set(file.formats)))
    }


def _archive(path: Path, known: re.Pattern[str], pickled: Collection[str], rules: "Rules") -> None:
    """Judge a torch archive: its layout, what is in it, and each of its pickles."""
    from torchcrate.release.trust import archive, pickles

    found = archive.entries(path)
    foreign = [name for name in found if not known.fullmatch(name)]
    if foreign:
        raise TrustError(f"{path.name} holds {foreign[0]}, which has no place in it")
    for name in pickled:
        if name not in found:
            raise TrustError(f"{path.name} holds no {name}, so it is no model")
        if found[name].size > pickles.LARGEST:
            raise TrustError(f"{path.name} holds {name} of {found[name].size} bytes, no model does")
        pickles.judge(archive.content(path, found[name]), rules, f"{name} in {path.name}")


def _safetensors(path: Path) -> None:
    """Judge golden vectors: a header of sane size whose tensors fill the file, one by one."""
    with reading(path), path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _LARGEST_HEADER):
            raise TrustError(f"{path.name} states a header of {length} bytes, it has {size} in all")
        head = file.read(length)
    try:
        tensors = json.loads(head, object_pairs_hook=_once)
        ranges = sorted(_range(name, said) for name, said in tensors.items())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise TrustError(f"{path.name} has a header that is none of safetensors'") from error
    edges = [0, *(end for _, end in ranges)]
    if [start for start, _ in ranges] != edges[:-1] or edges[-1] != size - 8 - length:
        raise TrustError(f"{path.name} has tensors that do not fill it, one after the other")


def _range(name: str, said: Any) -> tuple[int, int]:
    """Return where a tensor begins and ends, which must be as far apart as its shape asks."""
    if name == "__metadata__":
        if not all(isinstance(value, str) for value in said.values()):
            raise ValueError(name)
        return 0, 0
    start, end = said["data_offsets"]
    wanted = _WIDTHS[said["dtype"]]
    for count in said["shape"]:
        if type(count) is not int or not 0 <= count < 1 << 48:
            raise ValueError(name)
        wanted *= count
    if type(start) is not int or type(end) is not int or start < 0 or end - start != wanted:
        raise ValueError(name)
    return start, end


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object that names nothing twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found

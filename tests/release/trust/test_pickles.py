"""A pickle that names or does anything but rebuild tensors is refused, however it hides it."""

import collections
import io
import os
import pickle
import pickletools

import pytest
import torch

from torchcrate.errors import TrustError
from torchcrate.release.trust import pickles
from torchcrate.release.trust.pickles import STATE_DICT, TORCHSCRIPT, judge

END = b"."


class Evil:
    """Runs a command wherever it is unpickled."""

    def __init__(self, called=os.system, *arguments):
        self.made = (called, arguments or ("true",))

    def __reduce__(self):
        return self.made


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


HOSTILE = {
    "protocol-0": pickle.dumps(Evil(), 0),
    "protocol-2": pickle.dumps(Evil(), 2),
    "protocol-4": pickle.dumps(Evil(), 4),
    "protocol-5": pickle.dumps(Evil(), 5),
    "within": pickle.dumps({"weight": [1, (2, Evil())]}, 2),
    "optimized": pickletools.optimize(pickle.dumps(Evil(), 4)),
    "eval": pickle.dumps(Evil(eval, "1"), 2),
    "getattr": pickle.dumps(Evil(getattr, "a", "b"), 2),
    "nested-pickle": pickle.dumps(Evil(pickle.loads, b"N."), 2),
    "torch.load": pickle.dumps(Evil(torch.load, "x"), 2),
    # the name's two strings come out of the memo, where they lay as harmless keys
    "memo": b"\x80\4}" + short("posix") + b"\x940" + short("system") + b"\x940h\0h\1\x93)R.",
    "memo-kept": b"\x80\4](" + short("posix") + b"q\7" + short("system") + b"q\x09eh\7h\x09\x93.",
    "memo-long": b"\x80\4("
    + short("os")
    + b"r\5\0\0\0"
    + b"tj\5\0\0\0"
    + short("system")
    + b"\x93.",
    # an allowed module, and a name in it that leads on
    "dotted": b"\x80\4"
    + short("torch._utils")
    + short("_rebuild_tensor_v2.__globals__")
    + b"\x93.",
    "space": b"\x80\4" + short("") + short("collections OrderedDict") + b"\x93.",
    "space-global": b"\x80\2ccollections OrderedDict\n\n.",
    "python-2": b"\x80\2c__builtin__\neval\n.",
    "inst": b"(S'true'\nios\nsystem\n.",
    "obj": b"(cos\nsystem\nS'true'\no.",
    "extension": b"\x80\2\x82\1.",
    "newobj": b"\x80\2ccollections\nOrderedDict\n)\x81.",
    "newobj-ex": b"\x80\4ccollections\nOrderedDict\n)}\x92.",
    "persid": b"Pstorage\n.",
    "call-a-string": b"\x80\2X\1\0\0\0a)R.",
    "call-a-result": b"\x80\2ccollections\nOrderedDict\n)R)R.",
    "call-a-storage": b"\x80\2ctorch\nFloatStorage\n)R.",
    "build": b"\x80\2ccollections\nOrderedDict\n)R}b.",
    "build-a-function": b"\x80\2ctorch._utils\n_rebuild_tensor_v2\n}b.",
    "append-to-a-class": b"\x80\2ccollections\nOrderedDict\nNa.",
    "scripted": b"\x80\2c__torch__.net\nNet\n)\x81.",
}
DAMAGED = {
    "empty": b"",
    "no-stop": b"\x80\2}",
    "cut-string": b"\x80\2X\xff\0\0\0abc.",
    "cut-name": b"\x80\2ccollections",
    "unknown-instruction": b"\x80\2\xff.",
    "nothing-to-put": b"\x80\2q\0.",
    "never-put": b"\x80\2h\0.",
    "no-mark": b"\x80\2t.",
    "mark-taken-as-value": b"\x80\2(\x85.",
    "mark-remembered": b"\x80\2(q\0t.",
    "two-values": b"\x80\2NN.",
    "second-pickle": b"\x80\2}.\x80\2}.",
    "high-number": b"\x80\2}r\xff\xff\xff\x7f.",
    "long-number": b"\x80\2\x8b\xff\xff\xff\x7f.",
    "digits": b"I" + b"9" * 5000 + b"\n.",
    "bytes-8": b"\x80\4\x8e" + b"\xff" * 8 + b".",
    "no-text": b"\x80\2X\2\0\0\0\xc3\x28.",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_pickle_that_could_do_harm_is_refused(data):
    with pytest.raises(TrustError, match="is not a pickle that torch writes") as caught:
        judge(data, STATE_DICT, "data.pkl")

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_pickle_is_refused(data):
    for rules in (STATE_DICT, TORCHSCRIPT):
        with pytest.raises(TrustError, match="is not a pickle that torch writes"):
            judge(data, rules, "data.pkl")


def test_the_name_is_told(tmp_path):
    with pytest.raises(TrustError, match=r"it names 'posix\.system'"):
        judge(HOSTILE["memo-kept"], STATE_DICT, "data.pkl")


@pytest.mark.parametrize("name", [name for name in HOSTILE if name not in ("scripted",)])
def test_what_harms_python_harms_as_torchscript_too(name):
    """Except for the archive's own classes, TorchScript may name little more."""
    with pytest.raises(TrustError):
        judge(HOSTILE[name], TORCHSCRIPT, "data.pkl")


@pytest.mark.parametrize("name", ["__torch__.net Net", "torch.jit._pickle build_intlist"])
def test_torchscripts_own_names_are_good_there_and_nowhere_else(name):
    data = b"\x80\2c" + name.replace(" ", "\n").encode() + b"\n."

    judge(data, TORCHSCRIPT, "data.pkl")
    with pytest.raises(TrustError):
        judge(data, STATE_DICT, "data.pkl")


@pytest.mark.parametrize(
    "name", ["__torch__ os.system", "__torch__.a-b C", "__torch__.é C", "__torch__x C", "os system"]
)
def test_what_only_looks_like_torchscripts_own_is_refused(name):
    data = b"\x80\2c" + name.replace(" ", "\n").encode() + b"\n."

    with pytest.raises(TrustError):
        judge(data, TORCHSCRIPT, "data.pkl")


KINDS = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8]
KINDS += [torch.int8, torch.int16, torch.int32, torch.bool, torch.complex64]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_torch_itself_writes_is_accepted(protocol):
    """Plain state_dicts of any type of number, in every protocol that torch can use."""
    state = {f"{kind}": torch.zeros(2, 3).to(kind) for kind in KINDS}
    state |= {f"{index}.weight": torch.zeros(()) for index in range(300)}  # beyond short memos
    buffer = io.BytesIO()
    torch.save(collections.OrderedDict(state), buffer, pickle_protocol=protocol)

    with torch.serialization._open_zipfile_reader(io.BytesIO(buffer.getvalue())) as archive:
        judge(archive.get_record("data.pkl"), STATE_DICT, "data.pkl")


def test_the_whole_module_is_refused():
    buffer = io.BytesIO()
    torch.save(torch.nn.Linear(1, 1), buffer)

    with (
        torch.serialization._open_zipfile_reader(io.BytesIO(buffer.getvalue())) as archive,
        pytest.raises(TrustError, match=r"torch\.nn\.modules\.linear\.Linear"),
    ):
        judge(archive.get_record("data.pkl"), STATE_DICT, "data.pkl")


def test_each_instruction_that_is_allowed_is_one_that_pickletools_knows():
    known = {code.name for code in pickletools.opcodes}

    assert known >= pickles._PLAIN

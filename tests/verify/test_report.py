"""The report is one value, the same after a trip through JSON, green only if all is."""

from dataclasses import replace

import pytest

from torchcrate.errors import ContractError
from torchcrate.verify.report import Parity, Report

GREEN = Parity("onnx", "tensors", 3, 9, 2e-5, 1e-6, 1e-7, 0, 0.5, 1e-6, "noise", True)
REPORT = Report({"model.onnx": "0" * 64}, {"threads": "2"}, (GREEN,), ())


def test_parse_undoes_dump() -> None:
    assert Report.parse(REPORT.dump()) == REPORT


def test_a_report_is_green_only_if_every_runtime_is_and_one_was_judged() -> None:
    assert REPORT.passed
    assert not replace(REPORT, runtimes=()).passed
    assert not replace(REPORT, runtimes=(GREEN, replace(GREEN, passed=False))).passed
    assert not replace(REPORT, failures=("golden at x: difference",)).passed


@pytest.mark.parametrize("data", [b"", b"[]", REPORT.dump()[:-20]], ids=len)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(ContractError, match=r"parity\.json"):
        Report.parse(data)

"""A program is measured from outside: time, core-seconds, memory, first answer, or one line."""

import sys
from pathlib import Path

import pytest

from torchcrate.bench.process import inner, process, run
from torchcrate.bench.race import Rules, race
from torchcrate.errors import RunnerError

PYTHON = (sys.executable, "-I", "-S", "-c")


def test_the_slower_program_is_measured_slower() -> None:
    code = "import time; time.sleep({})"

    quick, slow = race(
        [process("quick", [*PYTHON, code.format(0)]), process("slow", [*PYTHON, code.format(1)])],
        Rules(rounds=2),
    )

    assert max(quick.seconds) < 1 <= min(slow.seconds)
    assert max(slow.cpu) < 1  # who sleeps takes no core


def test_the_first_answer_is_timed_and_all_are_counted() -> None:
    code = "import time; print(1, flush=True); time.sleep(0.2); print(2); print('last')"

    ran = run([*PYTHON, code])

    assert ran.first is not None
    assert ran.first + 0.2 <= ran.seconds
    assert (ran.lines, ran.last) == (3, "last")


def test_memory_is_that_of_the_program_and_not_of_who_measures_it() -> None:
    held = b"x" * 300_000_000  # what a parent holds counts for its children until they start

    small = run([*PYTHON, "pass"])
    large = run([*PYTHON, "held = bytearray(b'x' * 100_000_000)"])

    assert small.peak < 50_000_000 < 100_000_000 < large.peak < len(held)


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ((*PYTHON, "raise SystemExit('Error: no model')"), "it failed: no model"),
        ((*PYTHON, "raise SystemExit(6)"), "it failed: exit code 6"),
        (("/no/such/program",), "it failed: /no/such/program: No such file or directory"),
        ((*PYTHON, "print(1)"), "it printed 1 lines, not 2"),
    ],
)
def test_a_program_that_fails_is_one_line(command: tuple[str, ...], line: str) -> None:
    (lane,) = race([process("it", command, answers=2)], Rules(rounds=1))

    assert lane.failure == line


def test_variables_are_set_for_the_program() -> None:
    ran = run([*PYTHON, "import os; print(os.environ['COLOUR'])"], {"COLOUR": "a=b"})

    assert ran.last == "a=b"


def test_a_program_that_times_itself_is_believed_or_named() -> None:
    says = "print('noise'); print('{\"seconds\": 2, \"core_seconds\": 3.5}')"

    sound, silent = race(
        [inner("sound", [*PYTHON, says]), inner("silent", [*PYTHON, "pass"])], Rules(1, warmup=0)
    )

    assert (sound.seconds, sound.cpu) == ((2.0,), (3.5,))
    assert silent.failure.startswith("it says no seconds")


def test_a_file_name_with_spaces_is_one_argument(tmp_path: Path) -> None:
    program = tmp_path / "my program.py"
    program.write_text("import sys; print(sys.argv[1])")

    assert run([sys.executable, program, "a b"]).last == "a b"
    with pytest.raises(RunnerError):
        run([sys.executable, tmp_path / "my"])

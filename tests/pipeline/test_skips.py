"""With the MNIST data present a skipped test fails the run; without it, it may be skipped."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPS_IN_A_TEST = "import pytest\ndef test_it(): pytest.skip('no data')\n"
SKIPS_A_MODULE = "import pytest\npytest.importorskip('no_such_module_at_all')\n"
PASSES = "def test_it(): pass\n"


@pytest.mark.parametrize(
    ("test", "with_data", "code"),
    [
        (SKIPS_IN_A_TEST, True, 1),
        (SKIPS_A_MODULE, True, 1),
        (SKIPS_IN_A_TEST, False, 0),
        (PASSES, True, 0),
    ],
    ids=["a test", "a module", "no data", "nothing skipped"],
)
def test_a_skip_fails_the_run_where_the_data_is(tmp_path, test, with_data, code):
    shutil.copy2(ROOT / "tests/conftest.py", tmp_path / "conftest.py")
    (tmp_path / "test_one.py").write_text(PASSES.replace("test_it", "test_other"))
    (tmp_path / "test_two.py").write_text(test)
    data = tmp_path / "data"
    (data / "MNIST/raw").mkdir(parents=True)

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        env={"MNIST_DIR": str(data if with_data else tmp_path), "PYTHONPATH": str(ROOT / "tests")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == code, done.stdout + done.stderr

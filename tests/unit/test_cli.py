import subprocess
import sys

import pytest

from tests.helpers.project import SOURCE

INTERRUPTS_ITSELF = "import os, signal\nos.kill(os.getpid(), signal.{signal})\n"


@pytest.mark.parametrize("signal", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("module", ["pipeline.train", "pipeline.commands.compare", "pipeline.sweep"])
def test_an_interrupt_while_modules_are_imported_ends_with_one_line(tmp_path, module, signal):
    for package in ("pydantic", "optuna", "numpy", "filelock"):
        (tmp_path / f"{package}.py").write_text(INTERRUPTS_ITSELF.format(signal=signal))
    done = subprocess.run(
        (sys.executable, "-m", module),
        cwd=SOURCE,
        env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "interrupted: nothing unfinished was published; run the command again\n"


def test_importing_the_package_leaves_the_signals_of_another_program_alone():
    code = "import signal; before = signal.getsignal(2); import pipeline.cli; print(before is signal.getsignal(2))"
    done = subprocess.run((sys.executable, "-c", code), cwd=SOURCE, capture_output=True, text=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize("lines", [1, 100_000])
def test_a_reader_that_ends_early_like_head_is_no_error(lines):
    code = f"import sys\nfrom pipeline.cli import run\nsys.stdin.read()\nrun(lambda: print('text\\n' * {lines}))"
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        (sys.executable, "-c", code), cwd=SOURCE, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    )
    process.stdout.close()
    process.stdin.close()  # from here on, it prints
    assert (process.stderr.read(), process.wait()) == ("", 141)
    process.stderr.close()

"""Settings of the process, tested in a separate process."""

import subprocess
import sys

from tests.helpers.project import SOURCE

SCRIPT = """
import gc
from serving.app import process
process.save_memory()
process.pause_garbage_collection()
assert not gc.isenabled()
process.resume_garbage_collection()
assert gc.isenabled() and gc.get_freeze_count()
try:
    import pyarrow
except ImportError:
    print("as meant")
"""


def test_pyarrow_is_not_imported_and_garbage_is_collected_again():
    done = subprocess.run((sys.executable, "-c", SCRIPT), cwd=SOURCE, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("as meant\n", "")

"""The task of docs/serving.md for a scheduler of one's own, in a shell."""

import os
import re
import subprocess

from tests.helpers.project import SOURCE

# Stands in for the interpreter: `-m serving.batch INPUT OUTPUT …` copies the input.
PYTHON = """#!/bin/sh
echo "$@" >> calls
cp "$3" "$4"
"""


def test_a_shard_in_a_folder_below_is_scored_and_then_skipped(tmp_path):
    page = (SOURCE / "docs/serving.md").read_text()
    (recipe,) = re.findall(r"\*\*Any other scheduler\.\*\*.*?```sh\n(.*?)```", page, re.DOTALL)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    shard, answers = (tmp_path / folder / "day=1/a b.parquet" for folder in ("shards", "answers"))
    shard.parent.mkdir(parents=True)
    shard.touch()
    variables = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "name": "day=1/a b.parquet"}
    for _ in range(2):
        subprocess.run(["sh", "-ec", recipe], cwd=tmp_path, env=variables, check=True)
        assert answers.exists()
    calls = (tmp_path / "calls").read_text()
    assert calls == f"-m serving.batch shards/{variables['name']} answers/{variables['name']} --model models:/mnist/3\n"

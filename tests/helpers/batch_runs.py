"""Runs of the batch tool on the quick model, and a check that a run goes on where an interrupted one ended."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from serving.batch.scoring import score
from tests.helpers.batch_inputs import open_source
from tests.helpers.batch_stub import Stub


def scored(source: Path, output: Path, model: Stub | None = None, shard_images: int = 1000) -> pd.DataFrame:
    """Score the source, and read the answers."""
    score(open_source(source), model or Stub(), output, shard_images)
    return pd.read_parquet(output)


def check_going_on(
    source: Path, folder: Path, interrupt: Callable[[Path, Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Score 4,500 images after `interrupt` has ended a run on them when two shards of 1,000 were finished."""
    scored(source, folder / "whole.parquet")
    output = folder / "out.parquet"
    interrupt(source, output)
    model = Stub()
    scored(source, output, model)
    assert model.asked == 2500  # finished shards aren't scored again
    assert "going on: 2,000 of 4,500" in capsys.readouterr().err
    assert output.read_bytes() == (folder / "whole.parquet").read_bytes()
    assert not (folder / "out.parquet.part").exists()

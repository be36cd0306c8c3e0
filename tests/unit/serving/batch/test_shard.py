"""A shard gets all its answers, once, and the same answers as a single file would get."""

import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from serving.batch import shard
from serving.batch.__main__ import run
from serving.batch.shard import MAX_TRIES, Job, begin, score_shard
from serving.loading import LoadedModel
from tests.helpers.batch_inputs import as_parquet, as_shards

NAME = "000.parquet"


@pytest.fixture
def loaded(source) -> LoadedModel:
    return source.loaded


@pytest.fixture
def job(loaded, tmp_path) -> Job:
    """A job on one shard of 1,234 images."""
    (tmp_path / "out").mkdir()
    return Job(as_shards(tmp_path / "in", 1234), tmp_path / "out", "", loaded.model.sha256, "run")


def test_a_shard_gets_the_answers_of_a_file_of_its_own(job, loaded, model_folder, tmp_path):
    assert score_shard(job, NAME, loaded) == ""
    run(job.input / NAME, tmp_path / "alone.parquet", str(model_folder))
    assert (job.output / NAME).read_bytes() == (tmp_path / "alone.parquet").read_bytes()
    table = pd.read_parquet(job.output / NAME)
    assert table["row"].tolist() == list(range(1234))
    assert table["label"].tolist() == [str(number % 10) for number in range(1234)]
    assert os.listdir(job.output) == [NAME]


def test_answers_that_are_there_are_left_alone(job, loaded):
    (job.output / NAME).write_text("mine")
    assert score_shard(job, NAME, loaded) == ""
    assert (job.output / NAME).read_text() == "mine"


EMPTY = {
    "bytes": (pa.binary(), []),
    "without a type, as pandas writes it": (pa.null(), []),
    "image files": (pa.struct([("bytes", pa.binary()), ("path", pa.string())]), ["error"]),
}


@pytest.mark.parametrize(("kind", "more"), EMPTY.values(), ids=EMPTY)
def test_a_shard_without_rows_has_no_answers_here_and_as_a_file_of_its_own(kind, more, job, loaded, model_folder):
    as_parquet(job.input / NAME, {"pixels": pa.array([], kind)})
    assert score_shard(job, NAME, loaded) == ""
    table = pd.read_parquet(job.output / NAME)
    assert (list(table.columns), len(table)) == (["row", "label", "confidence", *more], 0)
    alone = job.output / "alone.parquet"
    assert run(job.input / NAME, alone, str(model_folder)) == 0
    assert alone.read_bytes() == (job.output / NAME).read_bytes()


def test_the_columns_of_a_shard_without_rows_are_those_of_the_others(job, loaded):
    as_parquet(job.input / "empty.parquet", {"pixels": pa.array([], pa.binary())})
    for name in (NAME, "empty.parquet"):
        assert score_shard(job, name, loaded) == ""
    assert parquet.read_schema(job.output / "empty.parquet") == parquet.read_schema(job.output / NAME)


def test_a_shard_with_a_columns_name_twice_is_a_fault_and_leaves_nothing(job, loaded):
    as_parquet(job.input / NAME, pa.table([[b"1" * 784], [1]], names=["pixels"] * 2))
    assert "has 2 columns named pixels" in score_shard(job, NAME, loaded)
    assert os.listdir(job.output) == []


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 9])
def test_a_damaged_shard_is_a_fault_and_leaves_nothing(content, job, loaded):
    (job.input / NAME).write_bytes(content)
    assert f"{job.input / NAME} can't be read: " in score_shard(job, NAME, loaded)
    assert os.listdir(job.output) == []


def test_a_shard_that_changes_while_it_is_scored_is_a_fault_and_leaves_nothing(job, loaded, monkeypatch):
    score_shards = shard.score_shards

    def change(*arguments, **options):
        yield from score_shards(*arguments, **options)
        os.utime(job.input / NAME, (0, 0))

    monkeypatch.setattr(shard, "score_shards", change)
    assert "changed while it was scored" in score_shard(job, NAME, loaded)
    assert os.listdir(job.output) == []


def test_a_shard_that_another_process_finishes_first_is_no_fault(job, loaded, monkeypatch):
    def lose(_: Path, __: LoadedModel, scratch: Path) -> None:
        (job.output / NAME).write_text("the other's")
        scratch.unlink()

    monkeypatch.setattr(shard, "write_answers", lose)
    assert score_shard(job, NAME, loaded) == ""
    assert (job.output / NAME).read_text() == "the other's"


def test_a_shard_that_kills_its_processes_is_given_up(job, loaded):
    for _ in range(MAX_TRIES - 1):
        begin(job.output / NAME, job.name)  # and then it is killed
    begin(job.output / NAME, "an earlier run")
    assert score_shard(job, NAME, loaded) == ""

    (job.output / NAME).unlink()
    begin(job.output / NAME, job.name)
    assert "begun 4 times, and its process was killed each time" in score_shard(job, NAME, loaded)
    assert not (job.output / NAME).exists()

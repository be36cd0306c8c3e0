"""Score a shard, a whole Parquet file, into a file of the same name in another folder: what each process repeats.

The contract is the same for every scheduler: answers are written beside their place and renamed when whole; a shard
whose answers are there is skipped. So any process may be killed, and any shard scored again, in any order.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow
from pyarrow import parquet

from serving.batch.parquet import Parquet
from serving.batch.scoring import BatchError, score_shards, whole_chunks
from serving.batch.shards import published
from serving.batch.source import SourceError

if TYPE_CHECKING:
    from serving.loaded_model import LoadedModel

# Of a shard in one run, whose process was killed each time: it may need more memory than there is.
MAX_TRIES = 4
# Of a file without rows; Spark writes some.
NO_ANSWERS = pyarrow.schema([("row", pyarrow.int64()), ("label", pyarrow.string()), ("confidence", pyarrow.float32())])


@dataclass(frozen=True)
class Job:
    """What a process needs to score any shard: folders, a model by its URI and the hash of its network, the run's name.

    No two runs have the same name, so that none of them writes into another's scratch files.
    """

    input: Path
    output: Path
    uri: str
    sha256: str
    name: str


def score_shard(job: Job, shard: str, loaded: "LoadedModel") -> str:
    """Score a shard, named by its path in the folder, unless its answers are there; return why that can't be, or ''."""
    output = job.output / shard
    if output.exists():
        return ""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with published(output, begin(output, job.name)) as scratch:
            write_answers(job.input / shard, loaded, scratch)
            with scratch.open("rb") as file:
                os.fsync(file.fileno())  # what has its name is skipped from now on, so it must outlive a power cut
    except (BatchError, SourceError, OSError) as error:
        # Where another process was first, the scratch file may have been removed as a leftover.
        return "" if output.exists() else str(error)
    return ""


def begin(output: Path, run: str) -> str:
    """Make a scratch file, and return the mark in its name; BatchError if the run has begun this output too often.

    One for each try: a process that was taken for dead may still write into its own.
    """
    for attempt in range(MAX_TRIES):
        mark = f".{run}-{attempt}"
        with suppress(FileExistsError):
            output.with_name(f".{output.name}{mark}.new").touch(exist_ok=False)
            return mark
    raise BatchError(f"begun {MAX_TRIES} times, and its process was killed each time: it may need more memory")


def write_answers(file: Path, loaded: "LoadedModel", output: Path) -> None:
    """Write the answers to a file, the same bytes as `serving.batch.scoring.score` does; in constant memory."""
    if not count_rows(file):
        parquet.write_table(NO_ANSWERS.empty_table(), output)
        return
    source = Parquet(file, loaded.form, loaded.model.max_images)
    tables = score_shards(source, loaded.model, whole_chunks(source), 0, show=False)
    first = next(tables)
    with parquet.ParquetWriter(output, first.schema) as writer:
        for table in chain((first,), tables):
            writer.write_table(table)
    source.check_unchanged()


def count_rows(file: Path) -> int:
    """Return how many rows a Parquet file's last bytes announce; SourceError if they don't."""
    try:
        return int(parquet.read_metadata(file).num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(f"{file} can't be read: {error}") from None

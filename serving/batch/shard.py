"""Score a shard, a whole Parquet file, into a file of the same name in another folder; each process repeats this.

The contract is the same for every scheduler: answers are written to a scratch file and renamed when complete; a shard
whose answers exist is skipped. So any process may be killed, and shards may be scored again, in any order.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow
from pyarrow import parquet

from serving.batch.parquet import Parquet, is_file
from serving.batch.scoring import BatchError, score_shards, whole_chunks
from serving.batch.shards import published
from serving.batch.source import SourceError

if TYPE_CHECKING:
    from serving.loaded_model import LoadedModel

# Tries for a shard in one run, if its process is killed each time: it may need more memory than there is.
MAX_TRIES = 4
# The answers to a file without rows; Spark writes such files.
NO_ANSWERS = pyarrow.schema([("row", pyarrow.int64()), ("label", pyarrow.string()), ("confidence", pyarrow.float32())])
FAULTS = pyarrow.field("error", pyarrow.string())  # one more column, if the images are files


@dataclass(frozen=True)
class Job:
    """What a process needs to score any shard: two folders, the model's URI, its network's sha256, and the run's name.

    Each run has a name of its own, so that two runs never write into the same scratch file.
    """

    input: Path
    output: Path
    uri: str
    sha256: str
    name: str


def score_shard(job: Job, shard: str, loaded: "LoadedModel") -> str:
    """Score a shard, given by its path in the folder, unless its answers exist; return '' or why it has no answers."""
    output = job.output / shard
    if output.exists():
        return ""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with published(output, begin(output, job.name)) as scratch:
            write_answers(job.input / shard, loaded, scratch)
            with scratch.open("rb") as file:
                os.fsync(file.fileno())  # a renamed file is skipped from now on, so it must survive a power cut
    except (BatchError, SourceError, OSError) as error:
        # If another process was first, its run may have removed this scratch file as a leftover.
        return "" if output.exists() else str(error)
    return ""


def begin(output: Path, run: str) -> str:
    """Make a scratch file, and return the mark in its name; BatchError if the run has begun this output too often.

    Each try has its own file, because a process that was taken for dead may still write into its own.
    """
    for attempt in range(MAX_TRIES):
        mark = f".{run}-{attempt}"
        with suppress(FileExistsError):
            output.with_name(f".{output.name}{mark}.new").touch(exist_ok=False)
            return mark
    raise BatchError(f"begun {MAX_TRIES} times, and its process was killed each time: it may need more memory")


def write_answers(file: Path, loaded: "LoadedModel", output: Path) -> None:
    """Write the answers to a file's images, the same bytes as `serving.batch.scoring.score`, in constant memory."""
    count, can_fail = read_footer(file)
    if not count:
        # Readers of a folder take the columns of its first file for those of all.
        parquet.write_table((NO_ANSWERS.append(FAULTS) if can_fail else NO_ANSWERS).empty_table(), output)
        return
    source = Parquet(file, loaded.form, loaded.model.max_images)
    tables = score_shards(source, loaded.model, whole_chunks(source), 0, show=False)
    first = next(tables)
    with parquet.ParquetWriter(output, first.schema) as writer:
        for table in chain((first,), tables):
            writer.write_table(table)
    source.check_unchanged()


def read_footer(file: Path) -> tuple[int, bool]:
    """Return a Parquet file's number of rows, and whether it has image files; SourceError if it can't be read."""
    try:
        metadata = parquet.read_metadata(file)
        return int(metadata.num_rows), any(is_file(field.type) for field in metadata.schema.to_arrow_schema())
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(f"{file} can't be read: {error}") from None

"""Score a shard, a whole Parquet file, into a file of the same name in another folder; each process repeats this.

The contract is the same for every scheduler: answers are written to a scratch file and renamed when complete; a shard
whose answers exist is skipped. So any process may be killed, and shards may be scored again, in any order.
"""

from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from pyarrow import parquet

from serving.batch.parquet import Parquet
from serving.batch.scoring import BatchError, score_shards, whole_chunks
from serving.batch.shards import published
from serving.batch.source import SourceError

if TYPE_CHECKING:
    from serving.loaded_model import LoadedModel

# Tries for a shard in one run, if its process is killed each time: it may need more memory than there is.
MAX_TRIES = 4


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
    source = Parquet(file, loaded.form, loaded.model.max_images)
    tables = score_shards(source, loaded.model, whole_chunks(source), 0, show=False)
    first = next(tables)
    with parquet.ParquetWriter(output, first.schema) as writer:
        for table in chain((first,), tables):
            writer.write_table(table)
    source.check_unchanged()

"""Score a folder of Parquet files, each a shard, into another folder: in this process, or in an engine's processes."""

import json
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow
from pyarrow import parquet

from serving.batch.folder import find_files
from serving.batch.scoring import BatchError, load_model
from serving.batch.shard import Job, score_shard
from serving.batch.shards import describe_answers, published
from serving.batch.source import SourceError
from serving.image_files import SUFFIXES

if TYPE_CHECKING:
    from serving.loaded_model import LoadedModel

MANIFEST = "_answers.json"  # all readers of Parquet folders skip names that begin with _
MAX_FAULTS = 100  # shards without answers, after which a run stops: the cause is hardly in the shards

# A function of a job and the remaining shards; it yields each shard with '' or why it has no answers, in any order.
Engine = Callable[[Job, list[str]], Iterable[tuple[str, str]]]


def score_folder(
    input_path: Path, output: Path, uri: str, engine: Engine | None = None
) -> tuple["LoadedModel", int, int]:
    """Score each shard that has no answers yet; return the model, the number of images, and how many are unreadable.

    Raises BatchError, at the end, if shards have no answers; SourceError if the input is no folder of Parquet files.
    """
    check_folders(input_path, output)
    shards = list_shards(input_path)
    loaded = load_model(uri)
    start_output(output, input_path.resolve(), loaded)
    job = Job(input_path.resolve(), output.resolve(), uri_of(uri, loaded), loaded.model.sha256, secrets.token_hex(4))
    left = [shard for shard in shards if not (job.output / shard).exists()]
    if finished := len(shards) - len(left):
        print(f"going on: {finished:,} of {len(shards):,} shards are scored already", file=sys.stderr)
    outcomes = engine(job, left) if engine and left else ((shard, score_shard(job, shard, loaded)) for shard in left)
    if faults := count_faults(outcomes, len(shards), finished):
        raise BatchError(
            f"{faults:,} of {len(shards):,} shards have no answers; the same command tries these again, and no other"
        )
    for leftover in find_leftovers(job.output):
        leftover.unlink(missing_ok=True)
    return loaded, *count_images(job, shards)


def check_folders(input_path: Path, output: Path) -> None:
    """Raise BatchError unless the output is, or can become, a folder, and neither folder lies in the other."""
    if not output.parent.is_dir() or (output.exists() and not output.is_dir()):
        raise BatchError(f"{output} can't be made: name a folder, in one that exists, for the answers to {input_path}")
    inside, outside = input_path.resolve(), output.resolve()
    if inside in (outside, *outside.parents) or outside in inside.parents:
        raise BatchError(f"{output} and {input_path} lie in each other: name another folder for the answers")


def list_shards(folder: Path) -> list[str]:
    """Return the paths of all Parquet files in the folder and below it, sorted; SourceError if it holds other files.

    Names that begin with _ or a dot are skipped, as all readers of Parquet folders do: `_SUCCESS`, `_temporary/`.
    """
    shards = []
    for file in find_files(str(folder), frozenset()):
        path = Path(file).relative_to(folder)
        if any(part.startswith(("_", ".")) for part in path.parts):
            continue
        if path.suffix.lower() != ".parquet":
            is_image = path.name.lower().endswith(SUFFIXES)
            hint = "name an OUTPUT that ends in .parquet to score images" if is_image else "move other files away"
            raise SourceError(f"{folder} holds {path}, but only Parquet files are scored into a folder: {hint}")
        shards.append(path.as_posix())
    if not shards:
        raise SourceError(
            f"{folder} holds no Parquet file: name a folder of some, or an OUTPUT that ends in .parquet to score images"
        )
    return sorted(shards)


def start_output(folder: Path, input_path: Path, loaded: "LoadedModel") -> None:
    """Make the folder of the answers; BatchError if it holds answers of another model, code or package, or input."""
    folder.mkdir(exist_ok=True)
    manifest, made_by = folder / MANIFEST, describe_answers(loaded.form, loaded.model)
    if not manifest.exists():
        with published(manifest) as scratch:
            scratch.write_text(json.dumps({"input": str(input_path), **made_by}, indent=1))
        return
    try:
        found = json.loads(manifest.read_text())
    except ValueError as error:
        raise BatchError(f"{manifest} can't be read ({error}): mend it, or name another folder") from None
    answered = found.pop("input", None)  # older code recorded none
    if found != made_by or answered is None:
        raise BatchError(
            f"{folder} holds answers of another model, or of other code or packages: name another folder ({manifest} "
            "says what made them)"
        )
    if not is_same_folder(Path(answered), input_path):
        raise BatchError(
            f"{folder} holds answers to another input, {answered}: name another folder for those to {input_path}; if "
            f'both are one folder, moved or mounted elsewhere, write its path as "input" into {manifest}'
        )


def is_same_folder(one: Path, other: Path) -> bool:
    """Return whether two paths lead to one folder, also through two mounts."""
    return one.exists() and one.samefile(other)


def uri_of(uri: str, loaded: "LoadedModel") -> str:
    """Return a URI that names the loaded model in any working folder, even after its alias has moved."""
    name, version = loaded.facts["name"], loaded.facts["version"]
    return f"models:/{name}/{version}" if version else str(Path(uri).resolve())


def count_faults(outcomes: Iterable[tuple[str, str]], shards: int, finished: int) -> int:
    """Show progress, and each fault when it comes; return the number of faults. BatchError if there are MAX_FAULTS."""
    from tqdm import tqdm

    faults = 0
    with tqdm(total=shards, initial=finished, unit=" shards", disable=None) as bar:
        for shard, fault in outcomes:
            bar.update()
            if fault:
                faults += 1
                tqdm.write(f"{shard}: {fault}", file=sys.stderr)
            if faults == MAX_FAULTS:
                raise BatchError(f"stopped: {faults} shards have no answers; the same command goes on with those left")
    return faults


def find_leftovers(output: Path) -> Iterator[Path]:
    """Yield the scratch files of processes that were killed."""
    return output.rglob(".*.parquet.*.new")


def count_images(job: Job, shards: list[str]) -> tuple[int, int]:
    """Return how many rows the answers have, and how many of these have no label.

    Raises BatchError if a file of answers is damaged, or hasn't as many rows as its shard.
    """
    images = unreadable = 0
    for shard in shards:
        answers = job.output / shard
        try:
            metadata = parquet.read_metadata(answers)
        except (pyarrow.ArrowException, OSError) as error:
            raise BatchError(f"{answers} isn't whole: remove it, and run again ({error})") from None
        if metadata.num_rows != (rows := count_rows(job.input / shard)):
            raise BatchError(
                f"{answers} has {metadata.num_rows:,} answers, but its shard has {rows:,} rows: a shard must not "
                "change; remove the answers to each that has changed, and run again"
            )
        images += metadata.num_rows
        label = metadata.schema.names.index("label")
        groups = (metadata.row_group(group) for group in range(metadata.num_row_groups))
        unreadable += sum(group.column(label).statistics.null_count for group in groups if group.num_rows)
    return images, unreadable


def count_rows(shard: Path) -> int:
    """Return a shard's number of rows; SourceError if it can't be read."""
    try:
        return int(parquet.read_metadata(shard).num_rows)
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(f"{shard} can't be read: {error}") from None

"""Score a source with a model into a Parquet file, shard by shard."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from serving.batch.source import Source, SourceError

if TYPE_CHECKING:
    import pyarrow

    from serving.loaded_model import LoadedModel
    from serving.model import Classifier


class BatchError(Exception):
    """A fault that the user can fix; the text names the cause and the next step."""


def load_model(uri: str) -> "LoadedModel":
    """Return the model that `uri` names, loaded and verified as the server does it; BatchError if that fails."""
    from serving.environment import set_mlflow_defaults

    set_mlflow_defaults()
    from serving.loading import ModelLoadError
    from serving.model_source import ModelSource

    try:
        return ModelSource(uri).loaded
    except ModelLoadError as error:
        raise BatchError(f"{error}; name another model with --model") from None


def score(source: Source, model: "Classifier", output: Path, shard_images: int | None = None) -> int:
    """Score the images that earlier runs haven't scored, and write `output`; return how many images couldn't be read.

    A killed run can go on after each `shard_images` images; the default is about the source's own number.
    """
    from serving.batch.shards import OutputLockedError, Shards

    shards = Shards(output, source, model, shard_images or whole_chunks(source))
    try:
        with shards.locked():
            finished = shards.resume()
            for number, table in enumerate(score_shards(source, model, shards.shard_images, finished), finished):
                shards.write(number, table)
            source.check_unchanged()
            return shards.join()
    except OutputLockedError as error:
        raise BatchError(error) from None


def whole_chunks(source: Source) -> int:
    """Return the number of images in a shard: whole chunks, about as many as `source.shard_images`."""
    return max(1, source.shard_images // source.chunk_images) * source.chunk_images


def score_shards(
    source: Source, model: "Classifier", shard_images: int, finished: int, show: bool = True
) -> "Iterator[pyarrow.Table]":
    """Yield the answers to each shard after the finished ones; `show` progress on a terminal.

    A source without images is one shard, without rows.
    """
    from tqdm import tqdm

    start = finished * shard_images
    if start == source.count == 0:
        yield as_table(source, 0, np.empty(0, object), np.empty(0, np.float32), [])
    chunks = source.chunks(start)
    with tqdm(
        total=source.count, initial=start, unit=" images", unit_scale=True, disable=None if show else True
    ) as bar:
        while start < source.count:
            stop = min(start + shard_images, source.count)
            classes: list[np.ndarray] = []
            confidences: list[np.ndarray] = []
            faults: list[str | None] = []
            while len(faults) < stop - start:
                if (chunk := next(chunks, None)) is None:
                    raise SourceError(
                        f"{source.path} has fewer than the {source.count:,} images that it names, so it is damaged: "
                        "get or make it again"
                    )
                pixels, some_faults = chunk
                probabilities = predict(model, pixels, start + len(faults))
                classes.append(probabilities.argmax(axis=1))
                confidences.append(probabilities.max(axis=1))
                faults += some_faults
                bar.update(len(pixels))
            labels = np.array(model.class_names, object)[np.concatenate(classes)]
            yield as_table(source, start, labels, np.concatenate(confidences), faults)
            start = stop


def predict(model: "Classifier", pixels: np.ndarray, row: int) -> np.ndarray:
    """Return each class's probability, float32 [n, classes]; BatchError, with the rows, for values out of range."""
    from mlflow.exceptions import MlflowException

    try:
        return model.probabilities(pixels)
    except MlflowException as error:
        raise BatchError(f"rows {row} to {row + len(pixels) - 1} of the input: {error.message}") from None


def as_table(
    source: Source, start: int, labels: np.ndarray, confidences: np.ndarray, faults: list[str | None]
) -> "pyarrow.Table":
    """Return the answers to the images from `start` on in the output's columns; null where there is a fault."""
    import pyarrow

    unreadable = np.array([fault is not None for fault in faults], bool)
    columns = {
        source.name_column: pyarrow.array(source.names(start, start + len(labels))),
        "label": pyarrow.array(labels, pyarrow.string(), mask=unreadable),
        "confidence": pyarrow.array(confidences, mask=unreadable),
    }
    if source.can_fail:
        columns["error"] = pyarrow.array(faults, pyarrow.string())
    return pyarrow.table(columns)

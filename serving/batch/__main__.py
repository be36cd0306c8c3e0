"""Score any number of images into a Parquet file.

INPUT is a folder of PNG and JPEG images, those in folders below it too, or a file of pixels from 0 (background) to
255 (ink): .npy [n, 28, 28] or [n, 784]; IDX, also .gz; Parquet with one column of lists of 784 numbers or of 784 bytes,
or with 784 columns of numbers.

OUTPUT.parquet gets a row for each image: path or row, digit, confidence. An image of a folder that can't be read
doesn't end the run: its digit and confidence are null, and a fourth column, error, says why. The file appears when it
is complete. Until then OUTPUT.parquet.part keeps what is finished: after a kill, the same command goes on from there.

Exit code: 0 all images are scored; 3 all that could be read; 1 a fault, which is told; 130 interrupted.
"""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from serving.batch.sources import SourceError, open_source

SOME_UNREADABLE = 3


class BatchError(Exception):
    """A fault that the user can mend; the text names the cause and the next step."""


def main() -> None:
    options = arguments()
    # A terminated run ends as an interrupted one does: it says how to go on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    go_on = "what is scored so far is kept, and the same command goes on from there"
    try:
        unreadable = run(options.input, options.output, options.model)
    except (BatchError, SourceError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:  # a full disk, a missing permission
        sys.exit(f"error: {error}; {go_on}")
    except KeyboardInterrupt:
        print(f"interrupted: {go_on}", file=sys.stderr)
        sys.exit(130)
    if unreadable:
        print(f"{unreadable:,} images couldn't be read: the column error says why", file=sys.stderr)
        sys.exit(SOME_UNREADABLE)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m serving.batch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", type=Path, metavar="INPUT")
    parser.add_argument("output", type=Path, metavar="OUTPUT.parquet")
    parser.add_argument(
        "--model", default="models:/mnist@champion", help="models:/name@alias, models:/name/3 or a folder (%(default)s)"
    )
    return parser.parse_args()


def run(input_path: Path, output: Path, uri: str) -> int:
    """Score the input into the output with the model that `uri` names; how many images couldn't be read."""
    if output.is_dir() or not output.parent.is_dir():
        raise BatchError(f"{output} can't be written: name a file in a folder that exists")
    source = open_source(input_path)  # before the model, which takes seconds
    return score(source, load(uri), output)


def score(source, model, output: Path) -> int:
    """Score what an earlier run has left of the source into the output; how many images couldn't be read."""
    from serving.batch.shards import Busy, Parts

    parts = Parts(output, source, model.sha256)
    try:
        with parts.held():
            finished = parts.resume()
            for number, table in enumerate(tables(source, model, finished), finished):
                parts.write(number, table)
            return parts.join()
    except Busy as error:
        raise BatchError(error) from None


def load(uri: str):
    """The model, loaded and checked as the server does it; from the project's own registry, unless another is set."""
    from serving.app.__main__ import ENVIRONMENT

    store = Path(__file__).parent.parent.parent.resolve() / "mlflow.db"
    for name, value in {**ENVIRONMENT, "MLFLOW_TRACKING_URI": f"sqlite:///{store}"}.items():
        os.environ.setdefault(name, value)
    from serving.model_source import Champion, Unusable

    try:
        return Champion(uri).served.model
    except Unusable as error:
        raise BatchError(error) from None


def tables(source, model, finished: int) -> Iterator:
    """The answers to each part after the finished ones, as a table; shows progress."""
    from tqdm import tqdm

    start = finished * source.part
    chunks = source.chunks(start)
    with tqdm(total=source.count, initial=start, unit=" images", unit_scale=True, disable=None) as bar:
        while start < source.count:
            stop = min(start + source.part, source.count)
            digits, confidences, faults = [], [], []
            while len(faults) < stop - start:
                pixels, some_faults = next(chunks)
                probabilities = answers(model, pixels, start + len(faults))
                digits.append(probabilities.argmax(axis=1).astype(np.int8))
                confidences.append(probabilities.max(axis=1))
                faults += some_faults
                bar.update(len(pixels))
            yield table(source, start, np.concatenate(digits), np.concatenate(confidences), faults)
            start = stop


def answers(model, pixels: np.ndarray, row: int) -> np.ndarray:
    """The probabilities of each digit, float32 [n, 10]; BatchError for pixels that aren't."""
    from mlflow.exceptions import MlflowException

    try:
        return model.probabilities(pixels)
    except MlflowException as error:
        raise BatchError(f"rows {row} to {row + len(pixels) - 1} of the input: {error.message}") from None


def table(source, start: int, digits: np.ndarray, confidences: np.ndarray, faults: list[str | None]):
    """The answers to the images from `start` on, in the output's columns; null where there is a fault."""
    import pyarrow

    unreadable = np.array([fault is not None for fault in faults])
    columns = {
        source.named_by: pyarrow.array(source.names(start, start + len(digits))),
        "digit": pyarrow.array(digits, mask=unreadable),
        "confidence": pyarrow.array(confidences, mask=unreadable),
    }
    if source.can_fail:
        columns["error"] = pyarrow.array(faults, pyarrow.string())
    return pyarrow.table(columns)


if __name__ == "__main__":
    main()

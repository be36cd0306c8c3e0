"""The recipe for scoring a table on Spark, `mapInArrow`, as docs/serving.md shows it:

    python -m benchmarks.batch_spark INPUT OUTPUT MODEL [master: local[2,4]]

INPUT is anything that Spark reads as Parquet, with the columns `id` and `pixels` (the bytes of an image); OUTPUT is a
folder. It needs Java, and `uv pip install --python .venv --require-hashes -r requirements-spark.lock`.
"""

import math
import sys
from collections.abc import Iterable, Iterator
from functools import partial

import pyarrow

COLUMNS = "id long, label string, confidence float"
AT_ONCE = 1000  # images, the most that the model takes; Spark's default is ten times as many


def score(uri: str, batches: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
    """Answer the rows of a partition; runs in Spark's Python processes."""
    from serving.batch.parquet import as_pixels
    from serving.batch.scoring import load_model

    model = load_model(uri).model  # verified, in a fraction of a second
    for batch in batches:
        pixels = as_pixels(batch.select(["pixels"]), 0, math.prod(model.shape))
        probabilities = model.probabilities(pixels.reshape(-1, *model.shape))
        labels = [model.class_names[number] for number in probabilities.argmax(axis=1)]
        yield pyarrow.RecordBatch.from_arrays(
            [batch["id"], pyarrow.array(labels), pyarrow.array(probabilities.max(axis=1))],
            names=["id", "label", "confidence"],
        )


def main(source: str, output: str, uri: str, master: str = "local[2,4]") -> None:
    """Score the table. With `local[2]` a killed Python process would fail the job; the 4 allows 4 tries per task."""
    from pyspark.sql import SparkSession

    spark = (
        SparkSession.builder.master(master)
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", AT_ONCE)
        .config("spark.sql.files.maxPartitionBytes", "16m")  # a killed process loses no more than this
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    table = spark.read.parquet(source).select("id", "pixels")
    table.mapInArrow(partial(score, uri), COLUMNS).write.mode("overwrite").parquet(output)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])

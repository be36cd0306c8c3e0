"""Count a model's answers on the test images, for the table that `dvc plots` draws."""

import pandas as pd

from pipeline.evaluation.tables import PROBABILITY


def count_confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return, from predictions.csv, how many test images of each label got each answer: a row per pair, also for 0."""
    test = predictions[predictions["split"] == "test"]
    names = [column.removeprefix(PROBABILITY) for column in map(str, predictions) if column.startswith(PROBABILITY)]
    counts = pd.crosstab(test["label"], test["answer"])
    counts = counts.reindex(index=pd.Index(names, name="label"), columns=pd.Index(names, name="answer"), fill_value=0)
    pairs = counts.stack()  # one column: the table has one level of classes
    assert isinstance(pairs, pd.Series)
    return pairs.rename("images").reset_index()

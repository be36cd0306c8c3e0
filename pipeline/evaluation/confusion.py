"""Count a model's answers on the test images, for the table that `dvc plots` draws."""

import pandas as pd


def count_confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return, from predictions.csv, how many test images of each label got each digit: one row per pair, also for 0."""
    test = predictions[predictions["split"] == "test"]
    classes = pd.RangeIndex(int(predictions.columns.str.fullmatch(r"p\d+").sum()))
    counts = pd.crosstab(test["label"], test["digit"])
    counts = counts.reindex(index=classes.rename("label"), columns=classes.rename("digit"), fill_value=0)
    pairs = counts.stack()  # one column: the table has one level of classes
    assert isinstance(pairs, pd.Series)
    return pairs.rename("images").reset_index()

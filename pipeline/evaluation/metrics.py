"""Figures and tables from labels [n] and probabilities [n, classes]: arrays in, numbers and tables out."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

SMALLEST_PROBABILITY = 1e-7  # as in Keras' cross-entropy: a certain mistake costs 16 nats, not infinity


def score(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    """Accuracy, and mean cross-entropy in nats, to six digits: the last bit of a float32 is not a result."""
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    loss = -np.log(np.clip(true, SMALLEST_PROBABILITY, 1)).mean()
    accuracy = (probabilities.argmax(axis=1) == labels).mean()
    return {"accuracy": round(float(accuracy), 6), "loss": round(float(loss), 6)}


def spread(accuracies: list[float]) -> dict[str, float]:
    """Mean and sample deviation (n − 1) of one model's accuracies with several seeds, at least two; to six digits."""
    mean, deviation = np.mean(accuracies), np.std(accuracies, ddof=1)
    return {"accuracy_mean": round(float(mean), 6), "accuracy_deviation": round(float(deviation), 6)}


def predictions(split: str, index: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """One row an image: split, place in the raw file, label, answer, and the probability of each class."""
    head = pd.DataFrame({"split": split, "image": index, "label": labels, "digit": probabilities.argmax(axis=1)})
    columns = [f"p{digit}" for digit in range(probabilities.shape[1])]
    return pd.concat([head, pd.DataFrame(probabilities, columns=columns)], axis=1)


def golden(pixels: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, list]:
    """One image of each class and the model's answer, for the served model to check itself by.

    The most confident of the right answers; of a class that the model never gets right, of the wrong ones: such an
    answer holds on every machine.
    """
    digits = probabilities.argmax(axis=1)
    rank = probabilities.max(axis=1) + (digits == labels)
    chosen = [int(np.where(labels == digit, rank, -1).argmax()) for digit in np.unique(labels)]
    return {
        "pixels": np.rint(pixels[chosen]).astype(int).tolist(),
        "digits": digits[chosen].tolist(),
        "probabilities": probabilities[chosen].astype(np.float64).round(6).tolist(),
    }


def per_class(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Precision, recall, F1 and number of images of each class."""
    classes = np.arange(probabilities.shape[1])
    table = precision_recall_fscore_support(labels, probabilities.argmax(axis=1), labels=classes, zero_division=0)
    return pd.DataFrame(dict(zip(("digit", "precision", "recall", "f1", "images"), (classes, *table), strict=True)))


def confusion(table: pd.DataFrame) -> pd.DataFrame:
    """From a table of predictions, how many test images of each label got each digit: one row a pair, also for 0."""
    test = table[table["split"] == "test"]
    classes = pd.RangeIndex(table.columns.str.fullmatch(r"p\d+").sum())
    counts = pd.crosstab(test["label"], test["digit"])
    counts = counts.reindex(index=classes.rename("label"), columns=classes.rename("digit"), fill_value=0)
    return counts.stack().rename("images").reset_index()

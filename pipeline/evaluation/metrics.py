"""Metrics and tables from labels, int64 [n], and probabilities, float32 [n, classes]: arrays in, tables out."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.data.arrays import BoolArray, FloatArray, IntArray, UInt8Array
from pipeline.evaluation.tables import PROBABILITY

# A server computes the answers to all of them whenever it is asked whether it is ready.
MAX_GOLDEN_IMAGES, MAX_GOLDEN_VALUES = 20, 1_000_000
CALIBRATION_BINS = 15
DIGITS = 10  # decimals of a published metric
SMALLEST_PROBABILITY = 1e-7  # as in Keras' cross-entropy: a certain mistake costs 16 nats, not infinity


def score(labels: IntArray, probabilities: FloatArray) -> dict[str, float]:
    """Return accuracy, mean cross-entropy in nats, Brier score and expected calibration error.

    They have ten decimals: further ones depend on the order of a sum. The Brier score is the mean of the squared
    differences between probabilities and labels, summed over the classes (G. Brier, 1950): from 0, the best, to 2.
    """
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    found = {
        "accuracy": (probabilities.argmax(axis=1) == labels).mean(),
        "loss": -np.log(np.clip(true, SMALLEST_PROBABILITY, 1)).mean(),
        "brier": ((probabilities.astype(np.float64) ** 2).sum(axis=1) - 2 * true + 1).mean(),
        "calibration_error": measure_calibration_error(labels, probabilities),
    }
    return {name: round(float(value), DIGITS) for name, value in found.items()}


def measure_calibration_error(labels: IntArray, probabilities: FloatArray) -> float:
    """Return by how much confidence and accuracy differ, on average over the images: 0.01 is a percentage point.

    Bins have equal width: M. Naeini, G. Cooper and M. Hauskrecht, Obtaining well calibrated probabilities using
    Bayesian binning, AAAI 2015; there are as many as in C. Guo et al., On calibration of modern neural networks, ICML
    2017.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    bins = measure_reliability(confidence, probabilities.argmax(axis=1) == labels)
    return sum(images * abs(sure - right) for sure, right, images in bins) / len(labels)


def measure_reliability(
    confidence: NDArray[np.floating], is_right: BoolArray, bins: int = CALIBRATION_BINS
) -> list[tuple[float, float, int]]:
    """Return mean confidence, accuracy and number of images for each bin of confidence with images."""
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        (float(confidence[place == number].mean()), float(is_right[place == number].mean()), int(count))
        for number, count in enumerate(np.bincount(place, minlength=bins))
        if count
    ]


def summarise_seeds(accuracies: list[float]) -> dict[str, float]:
    """Return mean and sample deviation (n − 1), to DIGITS decimals, of a model's accuracies with two seeds or more."""
    mean, deviation = np.mean(accuracies), np.std(accuracies, ddof=1)
    return {"accuracy_mean": round(float(mean), DIGITS), "accuracy_deviation": round(float(deviation), DIGITS)}


def tabulate_predictions(
    split: str, index: IntArray, labels: IntArray, probabilities: FloatArray, class_names: Sequence[str]
) -> pd.DataFrame:
    """Return one row per image: split, `index`, label and answer by name, and each class's probability."""
    names = np.array(class_names, object)
    answers = names[probabilities.argmax(axis=1)]
    head = pd.DataFrame({"split": split, "image": index, "label": names[labels], "answer": answers})
    columns = [f"{PROBABILITY}{name}" for name in class_names]
    return pd.concat([head, pd.DataFrame(probabilities, columns=columns)], axis=1)


def choose_golden_images(pixels: UInt8Array, labels: IntArray, probabilities: FloatArray) -> dict[str, Any]:
    """Return an image per class with the model's answer, a class number, by which the served model checks itself.

    Choose the most confident right answer or, if the model is never right on a class, the most confident wrong one:
    these are the same on every machine. With many classes or large images, choose some classes, at equal distances.
    """
    answers = probabilities.argmax(axis=1)
    rank = probabilities.max(axis=1) + (answers == labels)
    classes = np.unique(labels)
    number = max(1, min(len(classes), MAX_GOLDEN_IMAGES, MAX_GOLDEN_VALUES // math.prod(pixels.shape[1:])))
    classes = classes[np.arange(number) * len(classes) // number]
    chosen = [int(np.where(labels == label, rank, -1).argmax()) for label in classes]
    return {
        "pixels": pixels[chosen].tolist(),
        "answers": answers[chosen].tolist(),
        "probabilities": probabilities[chosen].astype(np.float64).round(6).tolist(),
    }


def score_classes(labels: IntArray, probabilities: FloatArray, class_names: Sequence[str]) -> pd.DataFrame:
    """Return precision, recall, F1 and number of images of each class, one row per class, by its name.

    A ratio whose denominator is 0 is 0.
    """
    counts = count_answers(labels, probabilities.argmax(axis=1), len(class_names))
    right, images, answered = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)

    def divide(part: IntArray, whole: IntArray) -> FloatArray:
        return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)

    return pd.DataFrame(
        {
            "class": class_names,
            "precision": divide(right, answered),
            "recall": divide(right, images),
            "f1": divide(2 * right, images + answered),
            "images": images,
        }
    )


def count_answers(labels: IntArray, answers: IntArray, classes: int) -> IntArray:
    """Return how often each label got each answer: the confusion matrix, int64 [classes, classes], a row per label."""
    return np.bincount(labels * classes + answers, minlength=classes**2).reshape(classes, classes)

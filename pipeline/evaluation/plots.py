"""The pictures in a model's report; the same data give the same bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import ConfusionMatrixDisplay

from pipeline.data.arrays import FloatArray, IntArray, UInt8Array

SIZE_INCHES = (6, 5)  # at matplotlib's 100 dots per inch


def plot_confusion(labels: IntArray, answers: IntArray, path: Path) -> None:
    """Draw the counts of (label, answer) pairs on the test set; rare pairs are shaded darker than in proportion."""
    figure, axes = _make_figure()
    shades = {"norm": PowerNorm(0.3)}
    ConfusionMatrixDisplay.from_predictions(labels, answers, ax=axes, cmap="Blues", colorbar=False, im_kw=shades)
    axes.set(title="Test images", xlabel="answer", ylabel="label")
    figure.savefig(path)


def plot_mistakes(
    images: UInt8Array, labels: IntArray, probabilities: FloatArray, path: Path, number: int = 24
) -> None:
    """Draw the wrong answers on the test set that the model was most sure of: answer, confidence and label."""
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:number]
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    figure.suptitle(f"The surest of {len(wrong)} mistakes on {len(labels)} test images")
    for axes, place in zip(figure.subplots(4, 6).flat, worst, strict=False):
        axes.imshow(images[place, ..., 0], cmap="gray_r")
        axes.set_title(f"{answers[place]} ({confidence[place]:.0%}), is {labels[place]}", fontsize=9)
    for axes in figure.axes:
        axes.axis("off")
    figure.savefig(path)


def plot_learning_curves(history: pd.DataFrame, path: Path) -> None:
    """Draw the accuracy of each epoch, on training and on validation images."""
    figure, axes = _make_figure()
    for column, label in (("accuracy", "training"), ("val_accuracy", "validation")):
        axes.plot(history["epoch"], history[column], marker="o", label=label)
    axes.set(xlabel="epoch", ylabel="accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    figure.savefig(path)


def _make_figure() -> tuple[Figure, Axes]:
    figure = Figure(figsize=SIZE_INCHES, layout="constrained")
    return figure, figure.subplots()

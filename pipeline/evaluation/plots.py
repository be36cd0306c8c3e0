"""The pictures in a model's report; the same data give the same bytes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.data.arrays import FloatArray, IntArray, UInt8Array
from pipeline.evaluation.metrics import count_answers

SHORT_NAMES = 6  # characters of two names that fit into one line
MOST_COUNTED = 20  # classes whose counts can be read
LARGE_INCHES = (12, 11)
SIZE_INCHES = (6, 5)  # at matplotlib's 100 dots per inch


def plot_confusion(labels: IntArray, answers: IntArray, class_names: Sequence[str], path: Path) -> None:
    """Draw the counts of (label, answer) pairs on the test set; rare pairs are shaded darker than in proportion.

    With more than MOST_COUNTED classes, draw only colours, without numbers, on a larger picture.
    """
    are_few = len(class_names) <= MOST_COUNTED
    figure = Figure(figsize=SIZE_INCHES if are_few else LARGE_INCHES, layout="constrained")
    axes = figure.subplots()
    counts, shade = count_answers(labels, answers, len(class_names)), PowerNorm(0.3)
    axes.imshow(counts, cmap="Blues", norm=shade)
    ticks = np.arange(len(class_names))
    rotation = "vertical" if max(map(len, class_names)) > 2 else "horizontal"
    axes.set_xticks(ticks, class_names, rotation=rotation, parse_math=False)  # classes may be called $5 and $10
    axes.set_yticks(ticks, class_names, parse_math=False)
    if are_few:
        for (label, answer), count in np.ndenumerate(counts):
            colour = "white" if float(shade(float(count))) > 0.5 else "black"
            axes.text(answer, label, str(count), ha="center", va="center", color=colour)
    if not are_few:
        axes.tick_params(labelsize=LARGE_INCHES[1] * 0.8 * 72 / len(class_names))
    axes.set(title="Test images", xlabel="answer", ylabel="label")
    figure.savefig(path)


def plot_mistakes(
    images: UInt8Array,
    labels: IntArray,
    probabilities: FloatArray,
    class_names: Sequence[str],
    path: Path,
    number: int = 24,
) -> None:
    """Draw the wrong answers on the test set that the model was most sure of: answer, confidence and label.

    Images are uint8 [n, height, width], whose ink is drawn dark, or [n, height, width, 3].
    """
    answers, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(answers != labels)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:number]
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    figure.suptitle(f"The surest of {len(wrong)} mistakes on {len(labels)} test images")
    for axes, place in zip(figure.subplots(4, 6).flat, worst, strict=False):
        axes.imshow(images[place], cmap="gray_r")
        answer, label = class_names[answers[place]], class_names[labels[place]]
        lines = "\n" if len(answer) + len(label) > SHORT_NAMES else " "
        axes.set_title(f"{answer} ({confidence[place]:.0%}),{lines}is {label}", fontsize=9, parse_math=False)
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

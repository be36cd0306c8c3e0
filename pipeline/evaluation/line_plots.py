"""Line plots as SVG inside a page: texts stay texts, and lines have the colour of the page's text, light or dark."""

import io
import re
from collections.abc import Callable, Mapping

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.data.arrays import BoolArray, FloatArray
from pipeline.evaluation.metrics import measure_reliability
from pipeline.evaluation.trust import TRUSTED_ACCURACY, cover

INK, ACCENT = "#010203", "#2a7de1"  # the first is replaced by the colour of the page's text
Answers = tuple[FloatArray, BoolArray]
"""The confidence of each answer and whether it is right, [n] each."""


def draw(plot: Callable[[Axes], None], width: float = 4.5, height: float = 3.2) -> str:
    """Return an SVG element, `width` by `height` inches, drawn by `plot`; the same data give the same text."""
    with matplotlib.rc_context(
        {
            **{"svg.fonttype": "none", "svg.hashsalt": "report", "font.size": 9, "font.family": "sans-serif"},
            **{
                "text.color": INK,
                "axes.edgecolor": INK,
                "axes.labelcolor": INK,
                "xtick.color": INK,
                "ytick.color": INK,
            },
        }
    ):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots()
        axes.grid(alpha=0.25, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        plot(axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    return svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def draw_learning_curves(history: pd.DataFrame) -> str:
    """Return a plot of the accuracy of each epoch, on training and on validation images."""

    def plot(axes: Axes) -> None:
        axes.plot(history["epoch"], history["accuracy"], "--", marker=".", color=INK, label="training")
        axes.plot(history["epoch"], history["val_accuracy"], marker=".", color=ACCENT, label="validation")
        axes.set(xlabel="epoch", ylabel="accuracy")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(frameon=False)

    return draw(plot)


def draw_reliability(answers: Answers) -> str:
    """Return a plot of accuracy by confidence, a point per bin, larger for more images; both are equal on the line."""

    def plot(axes: Axes) -> None:
        confidence, accuracy, images = zip(*measure_reliability(*answers), strict=True)
        axes.plot([0, 1], [0, 1], ":", color=INK)
        axes.scatter(confidence, accuracy, s=[6 + 90 * count / max(images) for count in images], color=ACCENT)
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))

    return draw(plot)


def draw_coverage(models: Mapping[str, Answers]) -> str:
    """Return a plot of each model's share of wrong answers by the share of images refused, the least sure first."""

    def plot(axes: Axes) -> None:
        wrong = 100 * (1 - TRUSTED_ACCURACY)
        for name, answers in models.items():
            accepted, accuracy = cover(*answers)
            kept = np.unique(np.linspace(len(accepted) // 2, len(accepted) - 1, 400).astype(int))
            axes.plot(100 * (1 - accepted[kept]), 100 * (1 - accuracy[kept]), label=name)
        axes.axhline(wrong, linestyle=":", color=INK)
        axes.set(xlabel="refused, % of test images", ylabel="wrong, % of the others", ylim=(0, None))
        axes.set_yscale("symlog", linthresh=wrong)
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.legend(frameon=False, ncols=2)

    return draw(plot, 6, 3.8)

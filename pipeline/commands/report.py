"""Write report/index.html, one page on the models of `presets` and how far they can be trusted: `make report`.

Reads what the last `dvc repro` wrote and changes nothing else. The page needs no network: figures and images are in it.
"""

import base64
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.cli import run
from pipeline.commands import compare
from pipeline.commands.champion import read_registered_name
from pipeline.config.params import load
from pipeline.data.arrays import BoolArray, FloatArray, IntArray, UInt8Array
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import load_split
from pipeline.files import publish, read_json
from pipeline.paths import Workspace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Cells = dict[str, str]
MISTAKES = 24  # of each model that are shown
MOST_COUNTED = 30  # classes whose counts are shown as a table
INK, ACCENT = "#010203", "#2a7de1"  # the first is shown in the colour of the page's text, light or dark


@dataclass(frozen=True)
class Answers:
    """One model's answers to the test images, as evaluate wrote them; classes as numbers."""

    index: IntArray
    """Places in the raw file, int64 [n]."""
    labels: IntArray
    given: IntArray
    probabilities: FloatArray
    """Float64 [n, classes]."""

    @cached_property
    def is_right(self) -> BoolArray:
        return np.equal(self.labels, self.given)

    @cached_property
    def confidence(self) -> FloatArray:
        confidence: FloatArray = self.probabilities.max(axis=1)
        return confidence


def main(workspace: Workspace = Workspace()) -> None:
    """Write the page and print where it is."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipeline.commands"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    page = environment.get_template("report.html").render(collect(workspace))
    with publish(workspace.page) as folder:
        (folder / "index.html").write_text(page)
    print(f"{workspace.page}/index.html is written ({len(page.encode()) / 1e6:.1f} MB): open it in a browser")


def collect(workspace: Workspace) -> dict[str, Any]:
    """Return what the template shows: the models, the best on validation images first."""
    names = load(workspace.params).presets
    dataset = read_json(workspace.dataset)
    champion, tested = compare.find_champion(read_registered_name(workspace), workspace)
    if champion:
        names = tuple(dict.fromkeys((*names, champion)))
    pixels = as_raw(load_split(workspace.prepared, "test").pixels)
    tables = {name: compare.read_answers(name, workspace) for name in names}
    answers = {name: read_answers(name, dataset["class_names"], workspace) for name in names}
    metrics = {name: read_json(workspace.report(name) / "metrics.json") for name in names}
    best_first = sorted(names, key=lambda name: -metrics[name]["val_accuracy"])
    measured = {}
    if champion:
        others = [name for name in best_first if name != champion]
        measured = {name: compare.measure_difference(tables, name, champion, workspace) for name in others}
    differences = compare.format_differences(measured)
    rows = {}
    for name in best_first:
        rows[name] = compare.format_accuracies(tables[name]) | compare.format_spread(metrics[name])
        rows[name] |= compare.format_costs(name, metrics[name], workspace) | format_trust(answers[name], metrics[name])
        if champion:
            rows[name][compare.TO_CHAMPION] = differences.get(name, "champion")
    return {
        "dataset": dataset,
        "champion": champion,
        "tested": tested,
        "columns": list(dict.fromkeys(column for row in rows.values() for column in row)),
        "rows": rows,
        "coverage": draw(lambda axes: plot_coverage(axes, {name: answers[name] for name in best_first}), 6, 3.8),
        "models": [describe(name, answers[name], metrics[name], dataset, pixels, workspace) for name in best_first],
    }


def read_answers(name: str, class_names: Sequence[str], workspace: Workspace) -> Answers:
    """Return the answers of one model to the test images; raise UserError if its predictions.csv is missing."""
    from pipeline.evaluation.tables import PROBABILITY, read_predictions

    table = read_predictions(workspace.report(name) / "predictions.csv", None).query("split == 'test'")
    numbers = {label: number for number, label in enumerate(class_names)}
    labels, given = (np.array([numbers[name] for name in table[column]]) for column in ("label", "answer"))
    probabilities = table[[f"{PROBABILITY}{label}" for label in class_names]].to_numpy(np.float64)
    return Answers(table["image"].to_numpy(np.int64), labels, given, probabilities)


def format_trust(answers: Answers, metrics: dict[str, Any]) -> Cells:
    """Return how far confidence is from accuracy, and how many images must be refused for 99.9 %."""
    from pipeline.evaluation.trust import find_refused_share

    return {
        "calibration error": f"{100 * metrics['test_calibration_error']:.2f} points",
        "refused for 99.9 %": f"{find_refused_share(answers.confidence, answers.is_right):.2%}",
    }


def describe(
    name: str,
    answers: Answers,
    metrics: dict[str, Any],
    dataset: dict[str, Any],
    pixels: UInt8Array,
    workspace: Workspace,
) -> dict[str, Any]:
    """Return what the page shows of one model, of which `pixels` are the test images as it takes them."""
    from pipeline.evaluation.metrics import count_answers
    from pipeline.evaluation.tables import read_table
    from pipeline.evaluation.trust import slice_mnist

    class_names: list[str] = dataset["class_names"]
    history = read_table(workspace.model(name) / "history.csv")
    receipt = read_json(workspace.model(name) / "receipt.json")
    parts = slice_mnist(answers.index, answers.labels) if dataset["name"] == "mnist" else []
    best, last = history["val_accuracy"].max(), history["val_accuracy"].iloc[-1]
    is_counted = len(class_names) <= MOST_COUNTED
    return {
        "name": name,
        "metrics": metrics,
        "receipt": receipt,
        "epochs": f"{len(receipt['epochs'])} epoch{'s' * (len(receipt['epochs']) > 1)}",
        "seconds": sum(epoch["seconds"] for epoch in receipt["epochs"]),
        "curves": draw(
            lambda axes: plot_lines(
                axes, history["epoch"], {"training": history["accuracy"], "validation": history["val_accuracy"]}
            )
        ),
        "curves_text": f"Accuracy on validation images ends at {last:.2%}; the highest of an epoch was {best:.2%}.",
        "reliability": draw(lambda axes: plot_reliability(axes, answers)),
        "counts": count_answers(answers.labels, answers.given, len(class_names)).tolist() if is_counted else None,
        "classes": [
            {"name": label, **format_share(answers.is_right[answers.labels == number])}
            for number, label in enumerate(class_names)
        ],
        "slices": [{"name": part.name, **format_share((answers.given == part.labels)[part.is_in])} for part in parts],
        "mistakes": find_mistakes(answers, pixels, class_names),
        "wrong": int((~answers.is_right).sum()),
    }


def format_share(is_right: BoolArray) -> Cells:
    """Return number of images, share of right answers and its 95 % interval, by Wilson."""
    from pipeline.evaluation.significance import wilson_interval

    if not len(is_right):
        return {"images": "0", "right": compare.EMPTY, "interval": compare.EMPTY}
    low, high = wilson_interval(int(is_right.sum()), len(is_right))
    return {"images": f"{len(is_right):,}", "right": f"{is_right.mean():.2%}", "interval": f"{low:.2%} – {high:.2%}"}


def find_mistakes(answers: Answers, pixels: UInt8Array, class_names: Sequence[str]) -> list[Cells]:
    """Return the wrong answers that the model was surest of, the surest first, each with its image."""
    wrong = np.flatnonzero(~answers.is_right)
    return [
        {
            "png": encode_png(pixels[place]),
            "answer": class_names[answers.given[place]],
            "label": class_names[answers.labels[place]],
            "confidence": f"{answers.confidence[place]:.0%}",
            "place": str(answers.index[place]),
        }
        for place in wrong[np.argsort(-answers.confidence[wrong], kind="stable")][:MISTAKES]
    ]


def encode_png(pixels: UInt8Array) -> str:
    """Return an image [height, width] or [height, width, 3] as a PNG file in base64."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return base64.b64encode(file.getvalue()).decode()


def draw(plot: "Callable[[Axes], None]", width: float = 4.5, height: float = 3.2) -> str:
    """Return an SVG element that `plot` has drawn, in inches; texts stay texts, and lines have the page's colour."""
    import matplotlib
    from matplotlib.figure import Figure

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
    return re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL).replace(
        "<svg ", '<svg aria-hidden="true" focusable="false" ', 1
    )


def plot_lines(axes: "Axes", x: Any, lines: dict[str, Any]) -> None:
    """Plot accuracy by epoch."""
    from matplotlib.ticker import MaxNLocator

    for (label, y), style in zip(lines.items(), ("--", "-"), strict=True):
        axes.plot(x, y, style, marker=".", label=label, color=ACCENT if style == "-" else INK)
    axes.set(xlabel="epoch", ylabel="accuracy")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)


def plot_reliability(axes: "Axes", answers: Answers) -> None:
    """Plot accuracy by confidence, a point per bin, larger for more images; on the diagonal both are equal."""
    from pipeline.evaluation.trust import measure_reliability

    confidence, accuracy, images = zip(*measure_reliability(answers.confidence, answers.is_right), strict=True)
    axes.plot([0, 1], [0, 1], ":", color=INK)
    axes.scatter(confidence, accuracy, s=[6 + 90 * count / max(images) for count in images], color=ACCENT)
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))


def plot_coverage(axes: "Axes", answers: dict[str, Answers]) -> None:
    """Plot the share of wrong answers by the share of images that are refused, the least sure ones."""
    from pipeline.evaluation.trust import cover

    for name, given in answers.items():
        accepted, accuracy = cover(given.confidence, given.is_right)
        kept = np.unique(np.linspace(len(accepted) // 2, len(accepted) - 1, 400).astype(int))
        axes.plot(100 * (1 - accepted[kept]), 100 * (1 - accuracy[kept]), label=name)
    axes.axhline(0.1, linestyle=":", color=INK)
    axes.set(xlabel="refused, % of test images", ylabel="wrong, % of the others", ylim=(0, None))
    axes.set_yscale("symlog", linthresh=0.1)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.legend(frameon=False, ncols=2)


if __name__ == "__main__":
    run(main)

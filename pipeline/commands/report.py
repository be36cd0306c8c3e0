"""Write report/index.html, one page on the models of `presets` and how far they can be trusted: `make report`.

Reads what the last `dvc repro` wrote, and logs the page in MLflow with the champion's run; it changes nothing else. The
page needs no network: figures and images are in it.
"""

from typing import Any

import numpy as np

from pipeline.cli import UserError, first_line, run
from pipeline.commands import report_robustness
from pipeline.commands.champion import read_registered_name
from pipeline.commands.compare import ALPHA, TO_CHAMPION, Comparison, Row, compare, order_columns
from pipeline.commands.report_answers import Answers, read_answers
from pipeline.commands.report_parts import BY_GROUP, describe_decisions, list_slices, read_groups, tabulate_parts
from pipeline.commands.report_pictures import (
    MOST_SHOWN,
    encode_png,
    read_picture,
    show_augmented,
    show_examples,
    show_extremes,
    show_samples,
    show_support,
)
from pipeline.config.credits import Credit, find_credit
from pipeline.config.params import load
from pipeline.data.arrays import UInt8Array
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import load_split
from pipeline.files import publish, read_json
from pipeline.paths import Workspace
from pipeline.tracking.model_card import make_card
from pipeline.tracking.page import log_page

MISTAKES = 24  # shown per model


def main(revision: str = "HEAD", workspace: Workspace = Workspace()) -> None:
    """Write the page, and a summary in Markdown, compared with the results of `revision`; print where they are."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from pipeline.commands.report_summary import format_summary

    environment = Environment(
        loader=PackageLoader("pipeline.commands"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["png"] = encode_png
    found = collect(workspace)
    page = environment.get_template("report.html").render(found)
    summary = format_summary(found["dataset"]["name"], found["comparison"], found["rows"], revision or "HEAD")
    with publish(workspace.page) as folder:
        (folder / "index.html").write_text(page)
        (folder / "report.md").write_text(summary)
    print(f"{workspace.page}/index.html is written ({len(page.encode()) / 1e6:.1f} MB): open it in a browser")
    print(f"{workspace.page}/report.md is a summary for a pull request, compared with {revision or 'HEAD'}")
    print(f"in MLflow: {log(found['comparison'], workspace)}")


def log(found: Comparison, workspace: Workspace) -> str:
    """Log the page in MLflow if the champion is on it; return where it is logged, or why it isn't."""
    if found.champion is None:
        return f"not logged: {found.tested}"
    try:
        return log_page(workspace.page / "index.html", read_registered_name(workspace))
    except (UserError, OSError) as error:
        return f"not logged: {first_line(error)}"


def collect(workspace: Workspace) -> dict[str, Any]:
    """Return the variables of the template; raise UserError if results are missing or from another run."""
    from pipeline.evaluation.line_plots import draw_coverage

    found = compare(workspace)
    dataset, test = read_json(workspace.dataset), load_split(workspace.prepared, "test")
    credit = find_credit(dataset["name"], load(workspace.params).credits)
    answers = {name: read_answers(name, found, dataset["class_names"], test, workspace) for name in found.rows}
    slices, groups = list_slices(dataset, test), read_groups(dataset, workspace)
    parts = {
        name: tabulate_parts(own.given, own.labels, slices, groups, dataset["class_names"])
        for name, own in answers.items()
    }
    rows = {}
    for name, row in found.rows.items():
        rows[name] = {title: cell for title, cell in row.items() if title != TO_CHAMPION}
        rows[name] |= {"test by group (95 %)": parts[name][0][BY_GROUP]} if groups is not None else {}
        rows[name] |= format_trust(answers[name], found.metrics[name])
        rows[name] |= {TO_CHAMPION: row[TO_CHAMPION]} if TO_CHAMPION in row else {}
    return {
        "dataset": dataset,
        "credit": credit,
        "comparison": found,
        "alpha": ALPHA,
        "decisions": describe_decisions(found, workspace),
        "has_slices": bool(slices),
        "groups": None if groups is None else len(np.unique(groups)),
        "columns": order_columns(rows.values()),
        "rows": rows,
        "coverage": draw_coverage({name: (given.confidence, given.is_right) for name, given in answers.items()}),
        "samples": show_samples(dataset["class_names"], workspace),
        "robustness": report_robustness.collect(list(answers), dataset, test.pixels, workspace),
        "models": [
            describe(name, given, found.metrics[name], dataset, credit, as_raw(test.pixels), workspace)
            | {"parts": parts[name]}
            for name, given in answers.items()
        ],
    }


def format_trust(answers: Answers, metrics: dict[str, Any]) -> Row:
    """Return how far confidence is from accuracy, and how many images must be refused for an accuracy of 99.9 %."""
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
    credit: Credit,
    pixels: UInt8Array,
    workspace: Workspace,
) -> dict[str, Any]:
    """Return what the page shows of one model; `pixels` are the test images as the model takes them."""
    from pipeline.evaluation.line_plots import draw_learning_curves, draw_reliability
    from pipeline.evaluation.metrics import count_answers
    from pipeline.evaluation.tables import read_table

    class_names: list[str] = dataset["class_names"]
    history = read_table(workspace.model(name) / "history.csv")
    receipt = read_json(workspace.model(name) / "receipt.json")
    is_counted = len(class_names) <= MOST_SHOWN
    return {
        "name": name,
        "metrics": metrics,
        "receipt": receipt,
        "card": make_card(receipt, metrics, dataset, credit),
        "epochs": f"{len(receipt['epochs'])} epoch{'s' * (len(receipt['epochs']) > 1)}",
        "seconds": sum(epoch["seconds"] for epoch in receipt["epochs"]),
        "curves": draw_learning_curves(history) if len(history) > 1 else None,
        "val_accuracy": f"{history['val_accuracy'].iloc[-1]:.2%}",
        "reliability": draw_reliability((answers.confidence, answers.is_right)),
        "counts": count_answers(answers.labels, answers.given, len(class_names)).tolist() if is_counted else None,
        "examples": show_examples(answers, pixels, len(class_names)) if is_counted else None,
        "augmented": show_augmented(name, workspace),
        "layers": read_picture(name, "layers.png", workspace),
        "embedding": read_picture(name, "embedding.png", workspace),
        "extremes": show_extremes(answers, pixels, class_names),
        "mistakes": find_mistakes(name, answers, pixels, dataset, workspace),
        "wrong": int((~answers.is_right).sum()),
    }


def find_mistakes(
    name: str, answers: Answers, pixels: UInt8Array, dataset: dict[str, Any], workspace: Workspace
) -> list[Row]:
    """Return the wrong answers that the model was surest of, the surest first, each with its image.

    The first ones also have a picture of what supports the answer.
    """
    wrong = np.flatnonzero(~answers.is_right)
    surest = wrong[np.argsort(-answers.confidence[wrong], kind="stable")][:MISTAKES]
    class_names: list[str] = dataset["class_names"]
    given = answers.given[surest].tolist()
    support = show_support(name, pixels[surest], given, dataset["resize"] == "ink", workspace)
    return [
        {
            "png": encode_png(pixels[place]),
            "support": support[rank] if rank < len(support) else "",
            "answer": class_names[answers.given[place]],
            "label": class_names[answers.labels[place]],
            "confidence": f"{answers.confidence[place]:.0%}",
            "place": str(answers.index[place]),
        }
        for rank, place in enumerate(surest)
    ]


if __name__ == "__main__":
    run(main, "[revision]")

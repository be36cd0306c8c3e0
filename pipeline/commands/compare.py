"""Print the models of `presets` side by side, and which of them differ from the champion: `make compare`.

Reads what the last `dvc repro` wrote and changes nothing; shows test accuracy, but sorts by validation accuracy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.cli import UserError, run
from pipeline.commands.champion import no_champion_error, read_registered_name
from pipeline.config.params import load
from pipeline.files import missing_file_error, read_json, sha256_of
from pipeline.paths import Workspace
from pipeline.tracking.registry import CHAMPION
from pipeline.tracking.store import connect_existing, translate_errors

if TYPE_CHECKING:
    from pandas import DataFrame

ALPHA = 0.05  # of twenty tables with equal models, one shows a difference by chance
SMALLEST_P = 1e-4  # smaller p-values print as `p < 0.0001`
TO_CHAMPION, EMPTY = "test, to the champion", "–"
LEFT_ALIGNED = ("model", TO_CHAMPION)
Row = dict[str, str]  # a cell's text by the title of its column


@dataclass(frozen=True)
class Comparison:
    """The models of `presets` and the champion, the best on validation images first."""

    champion: str | None
    tested: str
    """The champion and the test that compared the others with it, or why nothing was tested."""
    metrics: dict[str, dict[str, Any]]
    answers: "dict[str, DataFrame]"
    rows: dict[str, Row]
    """The cells of each model by their titles."""


def main(workspace: Workspace = Workspace()) -> None:
    """Print the table and what was tested."""
    found = compare(workspace)
    answers = next(iter(found.answers.values()))
    images = {split: int((answers["split"] == split).sum()) for split in ("val", "test")}
    print(format_table([{"model": name, **row} for name, row in found.rows.items()]))
    print(f"\nBest first, by {images['val']:,} validation images; 95 %: Wilson's score interval.")
    if found.champion:
        print(f"Tested against {found.tested}")
        alpha = f"alpha {ALPHA:g} for the whole table (Holm; comparisons: {len(found.rows) - 1})."
        print(f"on the same {images['test']:,} test images, {alpha}")
    else:
        print(f"Nothing was tested: {found.tested}")
    print("Test figures are for reporting: a model that is chosen by them looks better than it is.")


def compare(workspace: Workspace = Workspace()) -> Comparison:
    """Return the comparison from what the last `dvc repro` wrote; raise UserError if something is missing."""
    names = load(workspace.params).presets
    champion, tested = find_champion(read_registered_name(workspace), workspace)
    if champion:
        names = tuple(dict.fromkeys((*names, champion)))  # the table needs it even if `presets` lacks it
    metrics = {name: read_json(workspace.report(name) / "metrics.json") for name in names}
    names = tuple(sorted(names, key=lambda name: -metrics[name]["val_accuracy"]))
    answers = {name: read_answers(name, workspace) for name in names}
    measured = {}
    if champion:
        others = [name for name in names if name != champion]
        measured = {name: measure_difference(answers, name, champion, workspace) for name in others}
    differences = format_differences(measured)
    rows = {}
    for name in names:
        rows[name] = format_accuracies(answers[name]) | format_spread(metrics[name])
        rows[name] |= format_robustness(metrics[name]) | format_costs(name, metrics[name], workspace)
        if champion:
            rows[name][TO_CHAMPION] = differences.get(name, "champion")
    return Comparison(champion, tested, metrics, answers, rows)


def find_champion(name: str, workspace: Workspace = Workspace()) -> tuple[str | None, str]:
    """Return the name of the local model that is MLflow's champion, and in words the test against it.

    Return None, with the reason, if there is no champion, or if its answers aren't in reports/.
    """
    try:
        store = connect_existing(name)
        with translate_errors():
            number = store.aliases().get(CHAMPION)
            tags = store.version(number).tags if number else {}
    except UserError as error:
        return None, str(error)
    if number is None:
        return None, str(no_champion_error(name))
    model, network = tags.get("model", "of another tool"), workspace.model(tags.get("model", "")) / "model.onnx"
    is_here = network.is_file() and (workspace.report(model) / "predictions.csv").is_file()
    if not is_here or sha256_of(network) != tags.get("onnx_sha256"):
        return None, (
            f"the champion, {model} (version {number}), is of an earlier run, whose answers are no longer in reports/."
        )
    return model, f"the champion, {model} (version {number}): McNemar's exact test, two-sided,"


def read_answers(name: str, workspace: Workspace = Workspace()) -> "DataFrame":
    """Read a model's predictions.csv: a table of split, image, label and whether the answer is `correct`."""
    from pipeline.evaluation.tables import read_predictions

    answers = read_predictions(workspace.report(name) / "predictions.csv")
    return answers.assign(correct=answers["label"] == answers["answer"])


def format_accuracies(answers: "DataFrame") -> Row:
    """Return accuracy on validation and on test images, each with its 95 % interval."""
    from pipeline.evaluation.significance import wilson_interval

    cells = {}
    for split, title in (("val", "validation"), ("test", "test")):
        correct = answers.loc[answers["split"] == split, "correct"]
        low, high = wilson_interval(int(correct.sum()), len(correct))
        cells[f"{title} (95 %)"] = f"{100 * correct.mean():.2f} % ({100 * low:.2f}…{100 * high:.2f})"
    return cells


def format_spread(metrics: dict[str, Any]) -> Row:
    """Return mean ± sample deviation (n) over the seeds; nothing for a model that was trained once."""
    if "seeds_per_model" not in metrics:
        return {}
    return {
        f"{title}, seeds": f"{100 * metrics[f'{split}_accuracy_mean']:.2f} ± "
        f"{100 * metrics[f'{split}_accuracy_deviation']:.2f} ({metrics['seeds_per_model']})"
        for split, title in (("val", "validation"), ("test", "test"))
    }


def format_robustness(metrics: dict[str, Any]) -> Row:
    """Return the mean accuracy under the corruptions; nothing for images that they aren't defined for."""
    key = "corrupted_accuracy"
    return {"corrupted": f"{100 * metrics[key]:.2f} %"} if key in metrics else {}


def format_costs(name: str, metrics: dict[str, Any], workspace: Workspace = Workspace()) -> Row:
    """Return number of weights, size of the served file, and the time of the published model's epochs."""
    path = workspace.model(name) / "model.onnx"
    if not path.exists():
        raise missing_file_error(path)
    seconds = sum(epoch["seconds"] for epoch in read_json(workspace.model(name) / "receipt.json")["epochs"])
    return {
        "parameters": f"{metrics['parameters']:,}",
        "model.onnx": f"{path.stat().st_size / 1e6:.2f} MB",
        "training": f"{seconds:.0f} s",
    }


def measure_difference(
    answers: "dict[str, DataFrame]", name: str, champion: str, workspace: Workspace = Workspace()
) -> tuple[float, float]:
    """Return the model's test accuracy minus the champion's, and McNemar's p-value.

    Raise UserError if the two were evaluated on different test images.
    """
    from pipeline.evaluation.significance import mcnemar

    own, rival = (answers[model].query("split == 'test'").set_index("image").sort_index() for model in (name, champion))
    if not own.index.equals(rival.index) or (own["label"] != rival["label"]).any():
        raise UserError(
            f"{workspace.report(name)} and {workspace.report(champion)} are of different test images: run "
            "`dvc repro`, which evaluates both on the same data"
        )
    p = mcnemar(own["correct"].to_numpy(), rival["correct"].to_numpy())
    return float(own["correct"].mean() - rival["correct"].mean()), p


def format_differences(measured: dict[str, tuple[float, float]]) -> dict[str, str]:
    """Return the cell of each model: difference in points, p corrected by Holm for all models, its significance."""
    from pipeline.evaluation.significance import holm

    cells, corrected = {}, holm([p for _, p in measured.values()])
    for (name, (difference, _)), p in zip(measured.items(), corrected, strict=True):
        p_text = f"p {p:.2g}" if p >= SMALLEST_P else f"p < {SMALLEST_P:g}"
        cells[name] = f"{100 * difference:+.2f} points, {p_text}, {'significant' if p < ALPHA else 'not significant'}"
    return cells


def format_table(rows: list[Row]) -> str:
    """Return aligned lines, a heading first; a cell that a row lacks is a dash.

    Text is aligned to the left, figures to the right.
    """
    columns = order_columns(rows)
    lines = [""] * (1 + len(rows))
    for column in columns:
        cells = [column, *(row.get(column, EMPTY) for row in rows)]
        width = max(len(cell) for cell in cells)
        for place, cell in enumerate(cells):
            lines[place] += (cell.ljust(width) if column in LEFT_ALIGNED else cell.rjust(width)) + "  "
    return "\n".join(line.rstrip() for line in lines)


def order_columns(rows: Iterable[Row]) -> list[str]:
    """Return the titles of all columns, in the order of the longest row."""
    return list(dict.fromkeys(column for row in sorted(rows, key=len, reverse=True) for column in row))


if __name__ == "__main__":
    run(main)

"""Print the models of `compare` side by side, and which of them differ from the champion: `make compare`.

Reads what the last `dvc repro` wrote and changes nothing; test images are shown, the order is by validation images.
"""

from pathlib import Path

from pipeline.cli import UserError, run
from pipeline.config.params import load
from pipeline.files import missing_file_error, read_json

MODELS, REPORTS, REGISTRY = Path("models"), Path("reports"), Path("registry")
ALPHA = 0.05  # an equal model is called different once in twenty comparisons
SMALLEST_P = 1e-4  # what lies below is told as that: nobody weighs 1e-13 against 1e-36
TO_CHAMPION, EMPTY = "test, to the champion", "–"


def main() -> None:
    names = load().presets
    registry = read_json(REGISTRY / "registry.json")
    champion = champion_here(registry)
    if champion:
        names = tuple(dict.fromkeys((*names, champion)))  # what the others are tested against is in the table
    metrics = {name: read_json(REPORTS / name / "metrics.json") for name in names}
    answers = {name: read_answers(name) for name in names}
    best_first = sorted(names, key=lambda name: -metrics[name]["val_accuracy"])
    rows = [
        {"model": name, **accuracies(answers[name]), **repeated(metrics[name]), **costs(name, metrics[name])}
        | ({TO_CHAMPION: difference(answers, name, champion)} if champion else {})
        for name in best_first
    ]
    images = {split: int((answers[best_first[0]]["split"] == split).sum()) for split in ("val", "test")}
    print(table(rows))
    print(f"\nBest first, by {images['val']:,} validation images; 95 %: Wilson's score interval.")
    print(verdict(registry, champion, images["test"]))


def champion_here(registry: dict) -> str | None:
    """The champion's name; None if the alias is on a version of another run, whose answers are no longer here."""
    champion = registry["champion"]
    registered = registry["models"].get(champion["model"], {}).get("version")
    return champion["model"] if registered == champion["version"] else None


def verdict(registry: dict, champion: str | None, images: int) -> str:
    """What was tested, on how many images and at which alpha."""
    version = registry["champion"]
    if champion is None:
        return (
            f"Nothing was tested: the champion, {version['model']} (version {version['version']}), is of an earlier "
            "run, whose answers are no longer in reports/."
        )
    return (
        f"Tested against the champion, {champion} (version {version['version']}): McNemar's exact test, two-sided,\n"
        f"on the same {images:,} test images, alpha {ALPHA:g} for each model."
    )


def costs(name: str, metrics: dict) -> dict[str, str]:
    """Number of weights, size of the file that is served, and the time of the published model's epochs."""
    path = MODELS / name / "model.onnx"
    if not path.exists():
        raise missing_file_error(path)
    seconds = sum(epoch["seconds"] for epoch in read_json(MODELS / name / "receipt.json")["epochs"])
    return {
        "parameters": f"{metrics['parameters']:,}",
        "model.onnx": f"{path.stat().st_size / 1e6:.2f} MB",
        "training": f"{seconds:.0f} s",
    }


def read_answers(name: str):
    """reports/<name>/predictions.csv: a table of split, image, label and whether the answer is `correct`."""
    import pandas as pd

    path = REPORTS / name / "predictions.csv"
    if not path.exists():
        raise missing_file_error(path)
    answers = pd.read_csv(path, usecols=["split", "image", "label", "digit"])
    return answers.assign(correct=answers["label"] == answers["digit"])


def accuracies(answers) -> dict[str, str]:
    """Accuracy on validation and on test images, each with its 95 % interval."""
    from pipeline.evaluation.significance import wilson_interval

    cells = {}
    for split, title in (("val", "validation"), ("test", "test")):
        correct = answers.loc[answers["split"] == split, "correct"]
        low, high = wilson_interval(correct.sum(), len(correct))
        cells[f"{title} (95 %)"] = f"{100 * correct.mean():.2f} % ({100 * low:.2f}…{100 * high:.2f})"
    return cells


def repeated(metrics: dict) -> dict[str, str]:
    """Mean ± sample deviation (n) over the seeds; nothing for a model that was trained once."""
    if "seeds_per_model" not in metrics:
        return {}
    return {
        f"{title}, seeds": f"{100 * metrics[f'{split}_accuracy_mean']:.2f} ± "
        f"{100 * metrics[f'{split}_accuracy_deviation']:.2f} ({metrics['seeds_per_model']})"
        for split, title in (("val", "validation"), ("test", "test"))
    }


def difference(answers: dict, name: str, champion: str) -> str:
    """The model's test accuracy less the champion's, McNemar's p, and whether that is significant."""
    from pipeline.evaluation.significance import mcnemar

    if name == champion:
        return "champion"
    one, other = (answers[each].query("split == 'test'").set_index("image").sort_index() for each in (name, champion))
    if not one.index.equals(other.index) or (one["label"] != other["label"]).any():
        raise UserError(
            f"{REPORTS / name} and {REPORTS / champion} are of different test images: run `dvc repro`, which "
            "evaluates both on the same data"
        )
    p = mcnemar(one["correct"], other["correct"])
    points = 100 * (one["correct"].mean() - other["correct"].mean())
    told = f"p {p:.2g}" if p >= SMALLEST_P else f"p < {SMALLEST_P:g}"
    return f"{points:+.2f} points, {told}, {'significant' if p < ALPHA else 'not significant'}"


def table(rows: list[dict[str, str]]) -> str:
    """Aligned lines, a heading first: text to the left, figures to the right; a cell that a row lacks is a dash."""
    columns = list(dict.fromkeys(column for row in sorted(rows, key=len, reverse=True) for column in row))
    lines = [columns, *([row.get(column, EMPTY) for column in columns] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    text = {"model", TO_CHAMPION}
    aligned = (
        [cell.ljust(width) if column in text else cell.rjust(width) for cell, width, column in cells]
        for cells in (zip(line, widths, columns, strict=True) for line in lines)
    )
    return "\n".join("  ".join(line).rstrip() for line in aligned)


if __name__ == "__main__":
    run(main)

"""The page on all models in a few lines of Markdown, for a pull request: the table, and what differs from a commit."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from pipeline.commands.compare import EMPTY, Comparison, Row, order_columns

COMPARED = {"val_accuracy": "validation", "test_accuracy": "test"}
Change = tuple[float | None, float | None]  # before and now
Changes = dict[str, dict[str, Change]]
"""By model and metric."""


def format_summary(dataset: str, found: Comparison, rows: Mapping[str, Row], revision: str) -> str:
    """Return the models' table, and what changed since the results that were committed at `revision`."""
    columns = order_columns(rows.values())
    table = format_markdown(
        ["model", *columns], ([name, *(row.get(column, EMPTY) for column in columns)] for name, row in rows.items())
    )
    champion = f"The champion is {found.champion}." if found.champion else f"No champion: {found.tested}"
    return "\n\n".join([f"## {dataset}", table, champion, format_changes(read_changes(revision), revision)]) + "\n"


def format_markdown(head: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table; figures are aligned to the right."""
    aligned = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, aligned, *rows))


def read_changes(revision: str) -> Changes | str:
    """Return the accuracies that `dvc metrics diff` finds changed since a commit, or why it finds none."""
    command = ("dvc", "metrics", "diff", "--json", revision)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("ERROR: ")), "")
        return f"DVC can't compare with {revision}{reason.removeprefix('ERROR').rstrip('.')}."
    found: dict[str, dict[str, dict[str, Any]]] = json.loads(done.stdout)
    changes = {
        PurePosixPath(path).parent.name: {
            metric: (metrics[metric].get("old"), metrics[metric].get("new")) for metric in COMPARED if metric in metrics
        }
        for path, metrics in sorted(found.items())
    }
    return {name: metrics for name, metrics in changes.items() if metrics}


def format_changes(changes: Changes | str, revision: str) -> str:
    """Return what differs from the results of a commit, as a table or in a sentence."""
    if isinstance(changes, str):
        return changes
    if not changes:
        return f"The accuracies are those of {revision}."
    if all(before is None for metrics in changes.values() for before, _ in metrics.values()):
        return (
            f"The results of {revision} are not in DVC's cache, so nothing is compared: `dvc pull`, or `dvc repro` at "
            "that commit, brings them."
        )
    rows = (
        [name, *(format_change(*metrics.get(metric, (None, None))) for metric in COMPARED)]
        for name, metrics in changes.items()
    )
    table = format_markdown(["model", *COMPARED.values()], rows)
    return f"Compared with the results of {revision}; models that aren't listed are the same.\n\n{table}"


def format_change(before: float | None, now: float | None) -> str:
    """Return an accuracy before and now, in percent, and the difference in points."""
    if before is None and now is None:
        return "the same"
    if before is None or now is None:
        return f"{'new' if before is None else 'gone'}: {before or now or 0:.2%}"
    return f"{before:.2%} → {now:.2%} ({100 * (now - before):+.2f})"

"""The page's part on robustness: tables of all models, and the images as the models saw them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.commands.compare import EMPTY
from pipeline.data.arrays import UInt8Array
from pipeline.paths import Workspace

SHOWN = 5  # letters, and scans of another hand
MUST_KEEP = ("shift_1", "thicker", "thinner")  # conditions under which an answer must stay the same
TITLES = {
    "clean": "as they are",
    "corruption": "corruptions of MNIST-C",
    "move": "moved",
    "stroke": "other strokes",
    "half turn": "sixes and nines turned by 180°, which makes them nines and sixes",
    "other hand": "scikit-learn's scans, another hand",
    "stranger": "strangers: AUROC of the confidence",
}

Conditions = dict[str, dict[str, Any]]
"""The rows of a robustness.csv by their condition."""


def collect(
    names: Sequence[str], dataset: Mapping[str, Any], images: UInt8Array, workspace: Workspace
) -> dict[str, Any]:
    """Return what the template shows of these models; `images` are the test images as stored, of which one is shown.

    Raise UserError if a model has no table: an older version evaluated it.
    """
    tables = {name: read_conditions(workspace.report(name) / "robustness.csv") for name in names}
    rows = {name: summarise(table) for name, table in tables.items()}
    return {
        "columns": list(dict.fromkeys(column for row in rows.values() for column in row)),
        "rows": rows,
        "groups": list_groups(tables),
        "images": max(table["clean"]["images"] for table in tables.values()),
        "changed": show_changed(images[:1], dataset),
        "strange": show_strangers(images[:1], dataset),
    }


def read_conditions(path: Path) -> Conditions:
    """Read a model's robustness.csv; raise UserError if it is missing or damaged."""
    from pipeline.evaluation.tables import read_table

    rows: list[dict[str, Any]] = list(read_table(path).to_dict("records"))  # type: ignore[arg-type]  # its keys are text
    return {row["condition"]: row for row in rows}


def summarise(table: Conditions) -> dict[str, str]:
    """Return the cells of one model in the short table, by the titles of their columns."""
    cells = {"clean": f"{table['clean']['accuracy']:.1%}"}
    for group, title in (("corruption", "corrupted"), ("move", "moved")):
        if found := select(table, group, "accuracy"):
            cells |= {title: f"{np.mean(list(found.values())):.1%}", f"worst {group}": format_worst(found)}
    cells["answers kept"] = format_worst({name: table[name]["kept"] for name in MUST_KEEP if name in table})
    for name, title in (("six_nine", "six ↔ nine"), ("digits_scans", "other hand")):
        if name in table:
            cells[title] = f"{table[name]['accuracy']:.1%}"
    confidence = select(table, "stranger", "confidence")
    surest = max(confidence, key=confidence.__getitem__)
    cells["AUROC"] = f"{np.mean(list(select(table, 'stranger', 'auroc').values())):.3f}"
    return cells | {"surest stranger": f"{label(surest)} {confidence[surest]:.0%}"}


def format_worst(shares: Mapping[str, float]) -> str:
    """Return the condition with the smallest share, and that share."""
    worst = min(shares, key=shares.__getitem__)
    return f"{label(worst)} {shares[worst]:.1%}"


def select(table: Conditions, group: str, column: str) -> dict[str, float]:
    """Return a column of one group by condition."""
    return {name: row[column] for name, row in table.items() if row["group"] == group}


def list_groups(tables: Mapping[str, Conditions]) -> list[dict[str, Any]]:
    """Return each group of conditions with its title and rows: a cell per model for each condition."""
    groups: dict[str, list[str]] = {}
    for table in tables.values():
        for name, row in table.items():
            members = groups.setdefault(row["group"], [])
            members += [name] if name not in members else []
    return [
        {
            "title": TITLES.get(group, group),
            "rows": {label(name): [format_cell(table, name) for table in tables.values()] for name in members},
        }
        for group, members in groups.items()
    ]


def format_cell(table: Conditions, name: str) -> dict[str, Any]:
    """Return a model's accuracy (for strangers, AUROC) and confidence in a condition, and whether it is the worst."""
    if name not in table:
        return {"text": EMPTY, "is_worst": False}
    row = table[name]
    is_strange = row["group"] == "stranger"
    column = "auroc" if is_strange else "accuracy"
    rivals = select(table, row["group"], column)
    return {
        "text": f"{row[column]:{'.3f' if is_strange else '.1%'}} ({row['confidence']:.0%})",
        "is_worst": len(rivals) > 1 and row[column] == min(rivals.values()),
    }


def show_changed(images: UInt8Array, dataset: Mapping[str, Any]) -> dict[str, UInt8Array]:
    """Return the one image as it is and under each condition, by the condition's label."""
    from pipeline.data.pixels import as_raw
    from pipeline.evaluation.robustness import list_conditions, make_form, seed

    clean, form = as_raw(images), make_form(images.shape, dataset)
    changed = {name: change(clean, seed(name)) for name, (_, change) in list_conditions(form).items()}
    return {label(name): found[0] for name, found in {"clean": clean, **changed}.items()}


def show_strangers(images: UInt8Array, dataset: Mapping[str, Any]) -> dict[str, UInt8Array]:
    """Return a stranger of each kind, some letters, and scans of another hand if models are tested on them."""
    from pipeline.data.pixels import as_raw
    from pipeline.evaluation.robustness import make_form, seed
    from pipeline.evaluation.strangers import (
        choose_places,
        draw_strangers,
        has_digits,
        has_other_hand,
        read_other_hand,
    )

    form, are_digits = make_form(images.shape, dataset), has_digits(dataset["class_names"])
    shown: dict[str, UInt8Array] = {}
    for name, found in draw_strangers(as_raw(images), form, are_digits, seed("strangers")).items():
        few = found[choose_places(len(found), SHOWN)]
        shown |= {f"{label(name)}{f' {number}' * (len(few) > 1)}": image for number, image in enumerate(few, 1)}
    if has_other_hand(dataset):
        shown |= {f"scan {number}": image for number, image in enumerate(read_other_hand(SHOWN)[0], 1)}
    return shown


def label(condition: str) -> str:
    """Return a condition's name for people to read."""
    return condition.replace("_", " ")

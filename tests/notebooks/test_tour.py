"""The learner's tour, run from top to bottom on real MNIST, with the solutions of its exercises."""

import re
import sqlite3
from contextlib import closing
from hashlib import sha256

import nbformat

from notebooks import render
from tests.helpers.project import Project

SOLUTION = re.compile(r"<details>.*?```python\n(.*?)```.*?</details>", re.DOTALL)
OWN = ("params.yaml", "dvc.lock", "promotions.jsonl", "data", "models", "reports", "registry")
TABLES = ("runs", "model_versions", "registered_model_aliases")


def test_the_tour_runs_without_an_error_or_a_warning_and_touches_nothing_of_the_users(mnist, tmp_path):
    tour = nbformat.read(mnist.folder / render.SOURCE, as_version=4)
    solved = add_solutions(tour)
    before = describe(mnist)
    render.execute(tour, mnist.folder, mnist.environment | {"IPYTHONDIR": str(tmp_path)})
    assert describe(mnist) == before
    results = [(cell.id, output) for cell in tour.cells if cell.cell_type == "code" for output in cell.outputs]
    remarks = [(name, output.text) for name, output in results if output.get("name") == "stderr"]
    assert remarks == []
    printed = "\n".join(output.text for _, output in results if output.output_type == "stream")
    assert not re.search(r"\bwarning", printed, re.IGNORECASE)
    assert str(mnist.folder) not in printed
    # The results of the tour: the network in the registry, and the server's answer to a seven.
    assert "models:/mnist@champion is version 1" in printed
    assert re.search(r"^label 7, confidence 0\.9\d+, sure: True$", printed, re.MULTILINE)
    drawn = render.list_pictures(tour).keys() - solved
    assert drawn == {path.name for path in render.PICTURES.iterdir()}


def add_solutions(tour: nbformat.NotebookNode) -> set[str]:
    """Add a cell with the solution after each exercise; return the names of the pictures that the solutions draw."""
    cells = []
    for cell in tour.cells:
        cells.append(cell)
        if cell.cell_type == "markdown":
            cells += [nbformat.v4.new_code_cell(program) for program in SOLUTION.findall(cell.source)]
    added = {f"{cell.id}.png" for cell in cells if cell not in tour.cells}
    assert len(added) == len(re.findall("<details>", "".join(cell.source for cell in tour.cells)))
    tour.cells = cells
    return added


def describe(project: Project) -> dict[str, str | int]:
    """Return the checksum of each of the project's own files, and how much MLflow's store holds."""
    files = [path for name in OWN for path in ((project.folder / name), *(project.folder / name).rglob("*"))]
    state = {str(path): sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}
    with closing(sqlite3.connect(f"file:{project.folder}/mlflow.db?mode=ro", uri=True)) as store:
        counts = {table: store.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
    return state | counts

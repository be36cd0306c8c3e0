"""The tour's page matches its notebook and answers the twenty questions; tests/notebooks runs the notebook."""

import re

import nbformat
import pytest

from notebooks import render

RESULT = re.compile(rf"\n\n(?:```text\n.*?\n```|!\[[^\]]+\]\({render.PICTURES.name}/[\w-]+\.png\))(?=\n)", re.DOTALL)
SHORTEST_ANSWER = 300  # characters
MAX_BYTES = 1_500_000
WRITE_AGAIN = "docs/tour.md isn't of notebooks/tour.ipynb: run `make tour`"


@pytest.fixture
def tour() -> nbformat.NotebookNode:
    return nbformat.read(render.SOURCE, as_version=4)


def test_the_page_is_of_this_notebook(tour):
    render.strip(tour)
    assert RESULT.sub("", render.PAGE.read_text()) == render.render(tour), WRITE_AGAIN


def test_the_page_shows_every_picture_that_lies_beside_it():
    shown = re.findall(rf"\({render.PICTURES.name}/([\w-]+\.png)\)", render.PAGE.read_text())
    assert sorted(shown) == sorted(path.name for path in render.PICTURES.iterdir()), WRITE_AGAIN
    assert sum(path.stat().st_size for path in render.PICTURES.iterdir()) < MAX_BYTES


def test_the_notebook_is_kept_without_outputs(tour):
    kept = nbformat.writes(tour)
    render.strip(tour)
    assert kept == nbformat.writes(tour), "notebooks/tour.ipynb holds outputs: `make tour` takes them out"


def test_twenty_questions_are_answered_in_sections_that_exist(tour):
    text = "\n\n".join(cell.source for cell in tour.cells if cell.cell_type == "markdown")
    rows = re.findall(r"^\| (\d+) \| (.+\?) \| (.+) \|$", text, re.MULTILINE)
    assert [int(number) for number, _, _ in rows] == list(range(1, 21))
    sections = dict(re.findall(r"^## (.+)\n\n((?:(?!^## ).*\n?)*)", text, re.MULTILINE))
    for _, question, links in rows:
        answers = re.findall(r"\[(.+?)\]\(#(.+?)\)", links)
        assert answers, question
        for title, anchor in answers:
            assert anchor == title.lower().replace(" ", "-"), question
            assert len(sections[title]) > SHORTEST_ANSWER, question


def test_a_picture_and_what_was_printed_stand_below_the_program():
    picture = nbformat.v4.new_output("display_data", {"image/png": "AAAA"}, metadata={"image/png": {"alt": "A digit."}})
    printed = nbformat.v4.new_output("stream", text="7\n")
    cell = nbformat.v4.new_code_cell("draw()", id="digit", outputs=[printed, picture])
    assert render.render_cell(cell) == "```python\ndraw()\n```\n\n```text\n7\n```\n\n![A digit.](tour/digit.png)"
    assert render.list_pictures(nbformat.v4.new_notebook(cells=[cell])) == {"digit.png": b"\0\0\0"}


def test_what_running_adds_is_taken_out():
    printed = nbformat.v4.new_output("stream", text="7\n")
    cell = nbformat.v4.new_code_cell("draw()", execution_count=3, outputs=[printed], metadata={"collapsed": True})
    metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "language_info": {"name": "python", "version": "3.11.7"},
    }
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata=metadata)
    render.strip(notebook)
    assert (cell.outputs, cell.execution_count, cell.metadata) == ([], None, {})
    assert notebook.metadata.language_info == {"name": "python"}

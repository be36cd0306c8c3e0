"""Everything that the pages name exists: links, anchors, files, modules and messages."""

import ast
import re
import textwrap
from functools import cache
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.config import params
from pipeline.evaluation.report import compute_metrics
from pipeline.evaluation.robustness import SUMMARIES, list_conditions
from serving.images import INK
from tests.helpers.answers import make_answers
from tests.helpers.params import PARAMS
from tests.helpers.routes import list_paths

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / ".github").rglob("*.md")])
PAGES = [page.relative_to(ROOT) for page in PAGES]
FENCE = re.compile(r"^( *)```.*?^\1```", re.MULTILINE | re.DOTALL)
CODE_FOLDERS = ("pipeline", "serving", "benchmarks")
SHORTEST_FRAGMENT = 8  # characters; shorter fragments occur in any source


def prose(page: Path) -> str:
    """Return a page without its blocks of code."""
    return FENCE.sub("", (ROOT / page).read_text())


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives a page's headings."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_lead_somewhere(page):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        found = (ROOT / file).exists()
        if not found or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=str)
def test_files_and_modules_that_are_named_exist(page):
    """The changelog is left out, because it also names things that no longer exist."""
    text = (ROOT / page).read_text()
    paths = re.findall(rf"`((?:{'|'.join(CODE_FOLDERS)}|tests|docs)/[\w/.]*)`", text)
    modules = re.findall(r"python -m ((?:pipeline|serving|benchmarks)[\w.]*\w)", text)
    files = {path: ROOT / path for path in paths}
    files |= {name: ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in modules}
    missing = [name for name, file in files.items() if not (file.exists() or file.with_suffix("").is_dir())]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_make_targets_that_are_named_exist(page):
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)", (ROOT / page).read_text(), re.MULTILINE))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named - targets == set()


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", ["README.md", "docs/own-pictures.md"])
def test_the_examples_of_data_sets_are_valid(page):
    examples = re.findall(r"```yaml\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert examples
    for example in examples:
        content = YAML(typ="safe").load(textwrap.dedent(example).replace("…", "a" * 64))
        assert params.check(YAML(typ="safe").load(PARAMS) | content, page)


def test_each_metric_has_a_row():
    answers = make_answers([[0, 1, 2, 1]] * 2, litert=[0, 1, 2, 1], int8=[0, 1, 2, 1])
    keys = compute_metrics({"parameters": "7", "temperature": "1"}, {"val": answers, "test": answers}).keys()
    page = (ROOT / "docs/metrics-and-artefacts.md").read_text()
    section = page.partition("## metrics.json\n")[2].partition("\n## ")[0]
    missing = sorted((keys | SUMMARIES.keys()) - names_in_first_column(section))
    assert not missing, f"docs/metrics-and-artefacts.md, the table of metrics.json: add a row for {missing}"


def test_each_condition_of_robustness_has_a_place():
    section = (
        (ROOT / "docs/metrics-and-artefacts.md").read_text().partition("## robustness.csv\n")[2].partition("\n## ")[0]
    )
    assert sorted(name for name in list_conditions(INK) if f"`{name}`" not in section) == []


def test_each_route_of_the_app_has_a_row():
    page = (ROOT / "docs/serving.md").read_text()
    section = page.partition("## Routes of the app\n")[2].partition("\n## ")[0]
    named = {name.split()[-1].removesuffix("/…") for name in names_in_first_column(section)}
    missing = sorted(set(list_paths()) - named)
    assert not missing, f"docs/serving.md, the table of routes: add a row for {missing}"


def names_in_first_column(section: str) -> set[str]:
    """Return the names in backticks in the first column of a table."""
    cells = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def messages() -> list[str]:
    """Return the messages in the first column of the tables on troubleshooting."""
    rows = re.findall(r"^\| `(.+?)` \|", (ROOT / "docs/troubleshooting.md").read_text(), re.MULTILINE)
    assert rows
    return rows


@cache
def texts_in_code() -> str:
    """Return every string in the code, and the Makefile."""
    files = [file for folder in CODE_FOLDERS for file in (ROOT / folder).rglob("*.py")]
    trees = [ast.parse(file.read_text()) for file in files]
    strings = [
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return "\n".join([*strings, (ROOT / "Makefile").read_text()])


@pytest.mark.parametrize("message", messages())
def test_a_message_on_troubleshooting_is_one_of_the_code(message):
    fragments = [fragment.strip() for fragment in message.split("…")]
    assert [part for part in fragments if len(part) >= SHORTEST_FRAGMENT and part not in texts_in_code()] == []

"""What the page says about robustness; tests/unit/commands/test_report.py tests that it is on the page."""

import numpy as np
import pytest

from pipeline.cli import UserError
from pipeline.commands.report_robustness import collect
from pipeline.paths import Workspace

DIGITS = {"name": "mnist", "class_names": list("0123456789"), "resize": "ink"}
IMAGES = np.full((3, 28, 28, 1), 9, np.uint8)
TABLE = """condition,group,images,accuracy,confidence,kept,auroc
clean,clean,40,0.9,0.95,1,
fog,corruption,40,{fog},0.8,0.4,
zigzag,corruption,40,0.8,0.7,0.85,
shift_1,move,40,0.88,0.9,0.97,
thicker,stroke,40,0.86,0.9,0.96,
six_nine,half turn,8,0.75,0.9,,
digits_scans,other hand,100,0.5,0.6,,
noise,stranger,40,,0.3,,0.9
blank,stranger,1,,0.2,,1.0
"""


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    workspace = Workspace(tmp_path)
    for name, fog in (("a", 0.4), ("b", 0.82)):
        workspace.report(name).mkdir(parents=True)
        (workspace.report(name) / "robustness.csv").write_text(TABLE.format(fog=fog))
    return workspace


def test_each_model_has_means_and_its_worst_cases(workspace):
    found = collect(["a", "b"], DIGITS, IMAGES, workspace)
    assert found["images"] == 40
    assert list(found["rows"]) == ["a", "b"]
    assert found["rows"]["a"] == {
        "clean": "90.0%", "corrupted": "60.0%", "worst corruption": "fog 40.0%",
        "moved": "88.0%", "worst move": "shift 1 88.0%", "answers kept": "thicker 96.0%",
        "six ↔ nine": "75.0%", "other hand": "50.0%", "AUROC": "0.950", "surest stranger": "noise 30%",
    }  # fmt: skip
    assert found["rows"]["b"]["worst corruption"] == "zigzag 80.0%"
    assert list(found["rows"]["a"]) == found["columns"]


def test_all_conditions_are_listed_with_the_worst_of_each_model_marked(workspace):
    groups = {group["title"]: group["rows"] for group in collect(["a", "b"], DIGITS, IMAGES, workspace)["groups"]}
    corruptions = groups["corruptions of MNIST-C"]
    assert [[cell["text"] for cell in row] for row in corruptions.values()] == [
        ["40.0% (80%)", "82.0% (80%)"],
        ["80.0% (70%)", "80.0% (70%)"],
    ]
    assert [[cell["is_worst"] for cell in row] for row in corruptions.values()] == [[True, False], [False, True]]
    assert groups["strangers: AUROC of the confidence"]["noise"][0]["text"] == "0.900 (30%)"
    assert not groups["as they are"]["clean"][0]["is_worst"]  # the only condition in its group


def test_a_condition_that_one_model_lacks_is_a_dash(workspace):
    path = workspace.report("b") / "robustness.csv"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("zigzag")))
    (group,) = (
        group
        for group in collect(["a", "b"], DIGITS, IMAGES, workspace)["groups"]
        if group["title"] == "corruptions of MNIST-C"
    )
    assert [cell["text"] for cell in group["rows"]["zigzag"]] == ["80.0% (70%)", "–"]


@pytest.mark.parametrize(
    ("dataset", "shape", "changed", "strange"),
    [
        (DIGITS, (28, 28, 1), {"clean", "fog", "canny edges", "shift 3", "thinner"}, {"blank", "letters 1", "scan 5"}),
        ({"class_names": ["a", "b"], "resize": "crop"}, (9, 8, 3), {"clean", "turn 30"}, {"noise", "inverted"}),
    ],
    ids=["digits", "pictures"],
)
def test_one_image_is_shown_under_each_condition(workspace, dataset, shape, changed, strange):
    images = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype(np.uint8)
    found = collect(["a"], dataset, images, workspace)
    assert changed <= found["changed"].keys()
    assert strange <= found["strange"].keys()
    raw = shape[:2] if shape[2] == 1 else shape
    for shown in (found["changed"], found["strange"]):
        assert {image.shape for image in shown.values()} == {raw}
    np.testing.assert_array_equal(found["changed"]["clean"], images[0].reshape(raw))


def test_a_model_that_an_older_version_evaluated_is_named(workspace):
    (workspace.report("b") / "robustness.csv").unlink()
    with pytest.raises(UserError, match=r"reports/b/robustness.csv is missing: run `dvc repro`"):
        collect(["a", "b"], DIGITS, IMAGES, workspace)

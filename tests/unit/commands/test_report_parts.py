"""Accuracy by part of the test images, and the number of comparisons; test_report.py tests the page itself."""

import numpy as np
import pandas as pd
import pytest

from pipeline.commands import report_parts
from pipeline.commands.compare import Comparison
from pipeline.data.prepared import Split
from pipeline.evaluation.gate import Candidate
from pipeline.evaluation.trust import Slice
from pipeline.paths import Workspace
from pipeline.tracking import journal
from tests.helpers.params import PARAMS

LABELS = np.array([0, 1, 0, 1])
GIVEN = np.array([1, 1, 0, 1])  # the first is wrong
FIRST_TWO = Slice("first two", np.array([True, True, False, False]), np.array([1, 1, 0, 0]))


def test_all_images_each_slice_and_each_class_have_a_row():
    rows = report_parts.tabulate_parts(GIVEN, LABELS, [FIRST_TWO], None, ["cat", "dog", "cow"])
    assert [(row["name"], row["images"], row["right"], row["interval"]) for row in rows] == [
        ("all", "4", "75.00%", "30.06% – 95.44%"),
        ("first two", "2", "100.00%", "34.24% – 100.00%"),  # by the part's own labels
        ("cat", "2", "50.00%", "9.45% – 90.55%"),
        ("dog", "2", "100.00%", "34.24% – 100.00%"),
        ("cow", "0", "–", "–"),
    ]
    assert {row["by_group"] for row in rows} == {"–"}


def test_where_images_have_groups_each_row_has_an_interval_by_group():
    rows = report_parts.tabulate_parts(GIVEN, LABELS, [FIRST_TWO], np.array([5, 5, 9, 9]), ["cat", "dog", "cow"])
    # Either group may be drawn twice: one has half of its answers right, the other all.
    assert [row["by_group"] for row in rows] == ["50.00% – 100.00%", "–", "0.00% – 100.00%", "–", "–"]


@pytest.mark.parametrize(
    ("name", "resize", "slices"),
    [
        ("mnist", "ink", {"by", "with", "strokes", "slant"}),
        ("digits", "ink", {"strokes", "slant"}),
        ("leaves", "stretch", set()),
    ],
)
def test_what_only_some_data_sets_have_is_divided_where_it_exists(name, resize, slices):
    pixels = np.full((4, 28, 28, 1), 200, np.uint8)
    found = report_parts.list_slices({"name": name, "resize": resize}, Split(pixels, LABELS, np.arange(4)))
    assert {part.name.split()[0] for part in found} == slices


def test_versions_that_were_judged_by_the_same_validation_images_are_counted_once_each(tmp_path, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # which other tests of the process may have set
    workspace = Workspace(tmp_path)
    workspace.params.write_text(PARAMS)
    workspace.registry.mkdir()
    (workspace.registry / "registry.json").write_text('{"name": "mnist", "models": {}}')
    answers = pd.DataFrame({"split": ["val", "val", "test"], "image": [3, 4, 3], "label": "a", "answer": "b"})
    found = Comparison(None, "", {}, {"tiny": answers}, {})
    nothing = {"judged": 0, "alpha": 0.05, "chance": 0, "most": 0}
    assert report_parts.describe_decisions(found, workspace) == nothing
    label = np.array(["a", "a"], object)
    own = Candidate(np.array([3, 4]), label, label, 0).validation_sha256
    event = {"event": "decided", "name": "mnist", "version": "1", "against": "2", "time": "", "store": "mlflow.db"}
    event |= {"promote": False, "reasons": []}
    for validation, key in ((own, "a"), (own, "b"), (own, "b"), ("other images", "c")):
        journal.append_event(event | {"validation_sha256": validation, "content_key": key})
    assert report_parts.describe_decisions(found, workspace) == {
        "judged": 2, "alpha": 0.05, "chance": pytest.approx(0.0975), "most": pytest.approx(0.1),
    }  # fmt: skip

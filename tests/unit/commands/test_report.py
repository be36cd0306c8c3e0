"""What the page on all models says; tests/browser/test_report.py tests how it looks."""

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from pipeline.cli import UserError
from pipeline.commands import compare, report, report_summary
from pipeline.paths import Workspace
from tests.helpers.networks import write_onnx
from tests.helpers.params import PARAMS
from tests.helpers.trained import write_trained_model

CLASSES = ["cat", "<dog>"]
DESCRIPTION = {
    "name": "mnist",
    "classes": 2,
    "class_names": CLASSES,
    "image_shape": [4, 3, 1],
    "resize": "ink",
    "sources_sha256": {"images.gz": "ab" * 32},
    "splits": {
        "train": {"images": 1234, "per_class": [1000, 234]},
        "val": {"images": 2, "per_class": [1, 1]},
        "test": {"images": 4, "per_class": [2, 2]},
    },
}

ROBUSTNESS = """condition,group,images,accuracy,confidence,kept,auroc
clean,clean,4,0.75,0.9,1,
shift_1,move,4,0.5,0.8,0.75,
blank,stranger,1,,0.6,,0.9
"""


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    """Two models: `sure` is right on three of four test images, `other` on all four."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")  # which other tests of the process may have set
    workspace = Workspace(tmp_path)
    given = next(line for line in PARAMS.splitlines() if line.startswith("presets:"))
    text = PARAMS.replace(given, "presets: [dense_10, cnn_2m]")
    workspace.params.write_text(text)
    for name, wrong in (("dense_10", 1), ("cnn_2m", 0)):
        write_trained_model(workspace, name, wrong)
        (workspace.model(name) / "history.csv").write_text("epoch,accuracy,val_accuracy\n1,0.5,0.75\n2,0.9,0.5\n")
        rows = [("val", 0, 0, 0, 0.9), ("val", 1, 1, 1, 0.8)]
        rows += [("test", 0, 0, wrong, 0.7), ("test", 1, 1, 1, 0.95), ("test", 2, 0, 0, 0.9), ("test", 3, 1, 1, 0.99)]
        lines = [
            f"{split},{place},{CLASSES[label]},{CLASSES[answer]},{p if answer == 0 else 1 - p},{p if answer else 1 - p}"
            for split, place, label, answer, p in rows
        ]
        table = workspace.report(name) / "predictions.csv"
        table.write_text("\n".join(["split,image,label,answer,p_cat,p_<dog>", *lines]) + "\n")
        (workspace.report(name) / "robustness.csv").write_text(ROBUSTNESS)
        metrics = {"parameters": 7840, "temperature": 0.5, "val_accuracy": 1 - wrong / 10, "test_accuracy": 0.75,
                   "test_loss": 0.25, "test_brier": 0.125, "test_calibration_error": 0.0625}  # fmt: skip
        (workspace.report(name) / "metrics.json").write_text(json.dumps(metrics))
        write_onnx(workspace.model(name) / "model.onnx", wrong=0, shape=(4, 3), classes=2)
        for picture in ("layers", "embedding"):
            Image.new("RGB", (8, 5)).save(workspace.report(name) / f"{picture}.png")
    workspace.dataset.write_text(json.dumps(DESCRIPTION))
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3, 1)
    parts = {"images": pixels, "labels": np.array([0, 1, 0, 1], np.uint16), "index": np.arange(4)}
    for split in ("train", "test"):
        (workspace.prepared / split).mkdir()
        for part, values in parts.items():
            np.save(workspace.prepared / split / f"{part}.npy", values)
    workspace.registry.mkdir()
    (workspace.registry / "registry.json").write_text('{"name": "mnist", "models": {}}')
    monkeypatch.setattr(
        compare, "find_champion", lambda name, workspace: ("cnn_2m", "the champion, cnn_2m (version 2)")
    )
    monkeypatch.setattr(report_summary, "read_changes", lambda revision: {})
    return workspace


def write(workspace: Workspace) -> str:
    report.main(workspace=workspace)
    return (workspace.page / "index.html").read_text()


def read_parts(page: str, model: str) -> dict[str, list[str]]:
    """Return the cells of a model's table of classes and parts, by the name of the part."""
    table = page[page.index(f'aria-label="Accuracy of {model} by class"') :].partition("</table>")[0]
    rows = re.findall('<tr><th scope="row">(.*?)</th>(.*?)</tr>', table)
    return {name: re.findall("<td>(.*?)</td>", cells) for name, cells in rows}


@pytest.mark.slow
def test_models_are_compared_the_best_on_validation_images_first(workspace, capsys):
    page = write(workspace)
    assert re.findall(r'<h2 id="(\w+)"', page) == ["cnn_2m", "dense_10"]
    assert "cnn_2m, the champion" in page
    row = page[page.index('<th scope="row">dense_10') :].partition("</tr>")[0]
    cells = re.findall("<td>(.*?)</td>", row)
    assert cells[1].startswith("75.00 %")
    assert cells[-3:-1] == ["6.25 points", "25.00%"]  # calibration error, and refused: the last answer is wrong
    assert cells[-1].startswith("-25.00 points")
    assert "report/index.html is written" in capsys.readouterr().out
    assert "Comparisons on these test images: 1;" in page
    assert "has judged no version against a champion yet" in page
    assert read_parts(page, "dense_10")["all"] == ["4", "75.00%", "30.06% – 95.44%"]
    assert "by group" not in page


@pytest.mark.slow
def test_where_images_come_in_groups_each_accuracy_has_an_interval_by_group(workspace):
    tested = DESCRIPTION["splits"]["test"] | {"groups": 2}
    workspace.dataset.write_text(json.dumps(DESCRIPTION | {"splits": DESCRIPTION["splits"] | {"test": tested}}))
    np.save(workspace.prepared / "test/groups.npy", np.array([5, 5, 9, 9]))
    page = write(workspace)
    assert "of 2 groups, their writers" in page
    assert {"all", "by students", "cat", "&lt;dog&gt;"} <= read_parts(page, "dense_10").keys()
    # Either group may be drawn twice: one has half of its answers right, the other all.
    assert read_parts(page, "dense_10")["all"][3] == "50.00% – 100.00%"
    assert read_parts(page, "cnn_2m")["all"][3] == "–"  # its answers are all right
    row = re.findall(r'<tr><th scope="row">dense_10</th>(.*?)</tr>', page)[0]  # in the first table, the comparison
    assert "<td>50.00% – 100.00%</td>" in row
    (workspace.prepared / "test/groups.npy").unlink()
    with pytest.raises(UserError, match=r"test/groups.npy is missing: run `dvc repro`"):
        report.main(workspace=workspace)


@pytest.mark.slow
def test_a_mistake_is_shown_with_its_image(workspace):
    page = write(workspace)
    assert "&lt;dog&gt; (70%), is cat" in page
    image = find_image(page, "Test image 0, labelled cat")
    np.testing.assert_array_equal(image, np.arange(12).reshape(4, 3))
    assert find_image(page, "The same image, with what speaks for &lt;dog&gt;").shape == (4, 3, 3)


def find_image(page: str, text: str) -> np.ndarray:
    """Return the pixels of the only image with this alternative text."""
    (found,) = re.findall(f'src="data:image/png;base64,([^"]+)"\\s+alt="{text}"', page)
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(found))))


@pytest.mark.slow
def test_each_kind_of_answer_has_the_image_that_the_model_was_surest_of(workspace):
    page = write(workspace)
    own = page[page.index('<h2 id="dense_10"') :]
    for text, first in (
        ("cat read as cat", 24),
        ("cat read as &lt;dog&gt;", 0),
        ("&lt;dog&gt; read as &lt;dog&gt;", 36),
    ):
        np.testing.assert_array_equal(find_image(own, text), np.arange(first, first + 12).reshape(4, 3))
    assert 'alt="&lt;dog&gt; read as cat"' not in own


@pytest.mark.slow
def test_each_class_has_its_surest_and_least_sure_right_answer(workspace):
    page = write(workspace)
    own = page[page.index('<h2 id="cnn_2m"') : page.index('<h2 id="dense_10"')]
    assert "&lt;dog&gt;: 99.0%, 95.0%" in own
    np.testing.assert_array_equal(
        find_image(own, "Test image 3, the surest &lt;dog&gt;"), np.arange(36, 48).reshape(4, 3)
    )
    np.testing.assert_array_equal(
        find_image(own, "Test image 1, the least sure &lt;dog&gt;"), np.arange(12, 24).reshape(4, 3)
    )


@pytest.mark.slow
def test_each_model_shows_what_is_inside_it_and_the_data_what_it_was_trained_on(workspace):
    page = write(workspace)
    for name in ("cnn_2m", "dense_10"):
        assert f"The weights of {name}'s first layer" in page
    row = page[page.rindex('<th scope="row">cat') :].partition("</tr>")[0]
    assert re.findall("<td>([0-9,]+)</td>", row) == ["1,000", "1", "2"]
    assert find_image(row, "The first 2 training images of cat").shape == (4, 6)


def test_each_model_has_its_card_with_the_source_and_the_licence_of_the_data(workspace):
    page = write(workspace)
    for name, wrong in (("cnn_2m", 0), ("dense_10", 1)):
        card = page.partition(f'<dl aria-label="Model card of {name}">')[2].partition("</dl>")[0]
        headings = re.findall("<dt>(.*?)</dt>", card)
        assert headings == ["Intended use", "Data", "Training", "Figures", "Limits", "Licence"]
        assert f"<dd>model.onnx, which is served, is right on {100 - 10 * wrong}.00% of 2 validation images" in card
        assert "<dd>Source: Y. LeCun" in card
    assert re.search("<dt>Licence</dt><dd>CC BY-SA 3.0", page)


@pytest.mark.slow
def test_whose_a_data_set_of_ones_own_is_comes_from_params(workspace):
    workspace.dataset.write_text(json.dumps(DESCRIPTION | {"name": "leaves"}))
    assert "<dt>Licence</dt><dd>not stated</dd>" in write(workspace)
    own = "datasets: {leaves: {folder: pictures/leaves, height: 4, width: 3}}\ncredits: {leaves: {licence: '<mine>'}}\n"
    workspace.params.write_text(workspace.params.read_text() + own)
    page = write(workspace)
    assert "<dt>Source</dt><dd>not stated</dd>" in page
    assert "<dd>Of the data: &lt;mine&gt;.</dd>" in page


@pytest.mark.slow
def test_a_model_that_augments_shows_what_becomes_of_training_images(workspace):
    assert "Augmentation</h3>" not in write(workspace)
    drawn = np.arange(2 * 3 * 12, dtype=np.uint8).reshape(2, 3, 4, 3, 1)
    np.save(workspace.model("cnn_2m") / "augmented.npy", drawn)
    page = write(workspace)
    found = re.findall(
        'src="data:image/png;base64,([^"]+)" alt="A training image, and what the training of (.*?) ', page
    )
    assert [name for _, name in found] == ["cnn_2m", "cnn_2m"]
    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1][0]))))
    np.testing.assert_array_equal(strip, np.concatenate([*drawn[1, ..., 0]], axis=1))


@pytest.mark.slow
def test_robustness_has_a_row_for_each_model_and_images_under_each_condition(workspace):
    section = write(workspace).partition('<section aria-label="Robustness">')[2].partition("</section>")[0]
    rows = re.findall(r'<tr><th scope="row">(\w+)</th><td>([^<]*)</td>', section)
    assert rows[:2] == [("cnn_2m", "75.0%"), ("dense_10", "75.0%")]
    shown = re.findall(r'src="data:image/png;base64,([^"]+)" alt="A test image, clean"', section)
    image = Image.open(io.BytesIO(base64.b64decode(shown[0])))
    np.testing.assert_array_equal(np.asarray(image), np.arange(12).reshape(4, 3))
    assert 'alt="A test image, shift 3"' in section
    assert 'alt="noise"' in section


@pytest.mark.slow
def test_names_of_classes_are_text_and_not_markup(workspace):
    assert "<dog>" not in write(workspace)


@pytest.mark.slow
def test_the_same_results_give_the_same_page(workspace):
    assert write(workspace) == write(workspace)


def test_the_page_is_whole_and_asks_no_other_host(workspace):
    page = write(workspace)
    assert page.rstrip().endswith("</html>")
    links = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\')\s>]+)', page)
    assert links
    assert {link.partition(":")[0] for link in links if not link.startswith("#")} == {"data"}


@pytest.mark.slow
def test_the_page_is_logged_in_mlflow_with_the_champion(workspace, monkeypatch, capsys):
    logged = []
    monkeypatch.setattr(report, "log_page", lambda page, name: logged.append((page.read_text(), name)) or "there")
    page = write(workspace)
    assert logged == [(page, "mnist")]
    assert capsys.readouterr().out.endswith("in MLflow: there\n")


@pytest.mark.slow
def test_a_page_that_cannot_be_logged_is_written_all_the_same_and_it_says_why(workspace, monkeypatch, capsys):
    page = write(workspace)  # without a store
    assert "in MLflow: not logged: there is no MLflow store at" in capsys.readouterr().out
    monkeypatch.setattr(compare, "find_champion", lambda name, workspace: (None, "the champion is of an earlier run"))
    monkeypatch.setattr(report, "log_page", lambda page, name: pytest.fail("logged with another page's champion"))
    assert len(write(workspace)) < len(page)
    assert capsys.readouterr().out.endswith("in MLflow: not logged: the champion is of an earlier run\n")


@pytest.mark.slow
def test_the_summary_has_the_same_table(workspace, capsys):
    report.main("main", workspace)
    lines = (workspace.page / "report.md").read_text().splitlines()
    assert lines[0] == "## mnist"
    assert [line.split(" | ")[0] for line in lines[4:6]] == ["| cnn_2m", "| dense_10"]
    assert "25.00%" in lines[5]
    assert "The champion is cnn_2m." in lines
    assert lines[-1] == "The accuracies are those of main."
    assert "compared with main" in capsys.readouterr().out


@pytest.mark.slow
def test_without_results_it_says_what_to_run(workspace):
    (workspace.report("dense_10") / "predictions.csv").unlink()
    with pytest.raises(UserError, match="dvc repro"):
        report.main(workspace=workspace)
    assert not workspace.page.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda workspace: np.save(workspace.prepared / "test/index.npy", np.arange(1, 5)),
        lambda workspace: np.save(workspace.prepared / "test/labels.npy", np.array([0, 1, 1, 1], np.uint16)),
        lambda workspace: workspace.dataset.write_text(json.dumps(DESCRIPTION | {"class_names": ["cat", "cow"]})),
        lambda workspace: drop(workspace.report("dense_10") / "metrics.json", "temperature"),
    ],
    ids=["other images", "other labels", "other classes", "written by an older version"],
)
def test_results_of_another_run_are_refused(workspace, change):
    change(workspace)
    with pytest.raises(UserError, match="is of other test images or of an older version: run `dvc repro`"):
        report.main(workspace=workspace)


def drop(path, key: str) -> None:
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))

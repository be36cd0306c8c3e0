import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import brier_score_loss, log_loss

from pipeline import evaluate, inference
from pipeline.cli import UserError
from pipeline.data.pixels import as_raw
from pipeline.evaluation import doubt, drift
from pipeline.evaluation.tables import read_predictions
from pipeline.files import sha256_of
from pipeline.inference import predict_litert
from pipeline.paths import Workspace
from tests.helpers.answers import METRICS
from tests.helpers.networks import predict_bright_pixels, write_bright_pixels, write_onnx

VAL, TEST = 20, 40


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """Images with one bright pixel at the place of their label; models/dense_10 is always right.

    The files for phones say how many digits they get wrong, and a fake LiteRT reads that (the real one:
    tests/pipeline/test_evaluate.py). Figures are drawn but not rendered: that takes most of the stage's time.
    """
    monkeypatch.setattr(inference, "predict_litert", play_litert)
    monkeypatch.setattr(Figure, "savefig", lambda self, path: path.touch())
    workspace = Workspace(tmp_path)
    write_bright_pixels(workspace, VAL, TEST)
    model = workspace.model("dense_10")
    for file in ("model.tflite", "model_int8.tflite"):
        (model / file).write_text("0")
    return workspace


def play_litert(path: Path, pixels: np.ndarray) -> np.ndarray:
    if not path.exists():
        return predict_litert(path, pixels)
    return predict_bright_pixels(int(path.read_text()), pixels)


def write_seeds(workspace: Workspace, *seeds: int) -> None:
    path = workspace.model("dense_10") / "further_seeds" / "seeds.json"
    path.write_text(json.dumps({"further_seeds": seeds}))


def read_metrics(workspace: Workspace) -> dict:
    evaluate.main("dense_10", workspace)
    return json.loads((workspace.report("dense_10") / "metrics.json").read_text())


def test_one_seed_gives_the_metrics_of_the_published_model_alone(workspace):
    found = read_metrics(workspace)
    lite = {"int8_val_accuracy": 1, "int8_test_accuracy": 1, "litert_differing_labels": 0}
    assert {key: found.pop(key) for key in lite} == lite
    assert found.keys() >= set(METRICS) - lite.keys()
    assert "seeds_per_model" not in found
    assert not [key for key in found if key.endswith(("_mean", "_deviation"))]
    assert (found["parameters"], found["val_accuracy"], found["test_accuracy"]) == (7840, 1, 1)


def test_the_golden_file_has_a_validation_image_of_each_digit_and_the_models_answer(workspace, monkeypatch):
    monkeypatch.setattr(drift, "MIN_IMAGES", VAL)
    write_onnx((workspace.model("dense_10") / "model.onnx"), wrong=3)
    images = np.load(workspace.prepared / "val" / "images.npy")
    images[:, 27, 27] = 51  # distinguishes them from the test images; the network doesn't see it
    np.save(workspace.prepared / "val" / "images.npy", images)
    evaluate.main("dense_10", workspace)
    golden = json.loads((workspace.report("dense_10") / "golden.json").read_text())
    assert np.shape(golden["pixels"]) == (10, 28, 28)
    pixels = np.array(golden["pixels"])
    assert pixels[:, 0, :10].tolist() == (255 * np.eye(10, dtype=int)).tolist()
    assert set(pixels[:, 27, 27]) == {51}
    assert golden["answers"] == [9, 9, 9, *range(3, 10)]
    assert np.argmax(golden["probabilities"], axis=1).tolist() == golden["answers"]
    assert (golden["class_names"], golden["resize"]) == (list("0123456789"), "ink")
    val, session = as_raw(images), inference.open_onnx(workspace.model("dense_10") / "model.onnx")
    answers = inference.predict_onnx(session, val)
    assert golden["usual"] == doubt.fit(val, answers, is_ink=True)
    assert golden["reference"] == drift.fit(val, answers, is_ink=True)
    assert sum(golden["reference"]["class"]["counts"]) == VAL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("model.tflite", {"litert_differing_labels": 0.3 * (VAL + TEST)}),
        ("model_int8.tflite", {"int8_val_accuracy": 0.7, "int8_test_accuracy": 0.7}),
    ],
)
def test_the_files_for_phones_are_measured_by_themselves(workspace, file, changed):
    expected = read_metrics(workspace) | changed
    (workspace.model("dense_10") / file).write_text("3")
    assert read_metrics(workspace) == expected


@pytest.mark.parametrize("file", ["model.tflite", "model_int8.tflite"])
def test_a_missing_file_for_phones_is_reported(workspace, file):
    (workspace.model("dense_10") / file).unlink()
    with pytest.raises(UserError, match=f"models/dense_10/{file} is missing: run `dvc repro`"):
        evaluate.main("dense_10", workspace)


@pytest.mark.slow
def test_further_seeds_add_mean_and_deviation_and_leave_the_published_models_metrics(workspace):
    once = read_metrics(workspace)
    answers = (workspace.report("dense_10") / "predictions.csv").read_bytes()
    write_onnx((workspace.model("dense_10") / "further_seeds/1.onnx"), wrong=1)
    write_onnx((workspace.model("dense_10") / "further_seeds/2.onnx"), wrong=2)
    write_seeds(workspace, 1, 2)
    found = read_metrics(workspace)
    assert {key: found.pop(key) for key in once} == once
    spread = {"accuracy_mean": 0.9, "accuracy_deviation": 0.1}  # of 1.0, 0.9 and 0.8
    expected = {f"{split}_{key}": value for split in ("val", "test") for key, value in spread.items()}
    assert found == expected | {"seeds_per_model": 3}
    assert (workspace.report("dense_10") / "predictions.csv").read_bytes() == answers


@pytest.mark.filterwarnings("ignore:The y_prob values do not sum to one")  # float32
def test_metrics_computed_from_the_predictions_are_the_published_ones(workspace, monkeypatch):
    def guess(session: object, pixels: np.ndarray) -> np.ndarray:
        return np.random.default_rng(0).dirichlet(np.ones(10), len(pixels)).astype(np.float32)

    monkeypatch.setattr(inference, "predict_onnx", guess)
    found = read_metrics(workspace)
    table = read_predictions(workspace.report("dense_10") / "predictions.csv", columns=None)
    rows = table[table["split"] == "test"]
    probabilities = rows.filter(regex="^p_").to_numpy()
    labels = rows["label"].astype(int).to_numpy()
    assert found["test_loss"] == pytest.approx(log_loss(labels, probabilities), abs=1e-9)
    brier = brier_score_loss(labels, probabilities, scale_by_half=False)
    assert found["test_brier"] == pytest.approx(brier, abs=1e-9)


def test_a_missing_file_of_a_seed_is_reported(workspace):
    write_seeds(workspace, 1)
    with pytest.raises(UserError, match=r"models/dense_10/further_seeds/1.onnx is missing: run `dvc repro`"):
        evaluate.main("dense_10", workspace)


@pytest.mark.slow
def test_the_report_is_of_the_published_file(workspace, monkeypatch, capsys):
    monkeypatch.undo()  # so that figures are rendered
    monkeypatch.setattr(inference, "predict_litert", play_litert)
    write_onnx(workspace.model("dense_10") / "model.onnx", wrong=1)
    evaluate.main("dense_10", workspace)
    report = workspace.report("dense_10")
    assert {path.name for path in report.iterdir()} == {
        "classes.csv", "confusion_matrix.png", "embedding.png", "golden.json", "layers.png", "learning_curves.png",
        "metrics.json", "mistakes.png", "model.sha256", "predictions.csv", "robustness.csv",
    }  # fmt: skip
    assert (report / "model.sha256").read_text() == sha256_of(workspace.model("dense_10") / "model.onnx") + "\n"
    rows = [line.split(",") for line in (report / "predictions.csv").read_text().splitlines()]
    assert rows[0] == ["split", "image", "label", "answer", *(f"p_{digit}" for digit in range(10))]
    assert [row[0] for row in rows[1:]] == ["val"] * VAL + ["test"] * TEST
    assert rows[1][1:4] == ["0", "0", "9"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in report.glob("*.png"))
    classes = (report / "classes.csv").read_text().splitlines()
    assert classes[1] == "0,0,0,0,4"
    assert capsys.readouterr().out == "dense_10  val_accuracy 0.9000  test_accuracy 0.9000\n"


@pytest.mark.slow
def test_the_published_file_is_asked_under_every_condition_and_gives_the_same_bytes_again(workspace):
    found = read_metrics(workspace)
    table = workspace.report("dense_10") / "robustness.csv"
    once = table.read_bytes()
    rows = {row.split(",")[0]: row.split(",") for row in once.decode().splitlines()}
    assert rows["condition"] == ["condition", "group", "images", "accuracy", "confidence", "kept", "auroc"]
    assert rows["clean"][2:4] == ["40", "1"]
    # The network sees one row of pixels; the light in it moves to the next class or, mostly, out of the row.
    assert float(rows["shift_1"][3]) < 0.5
    corrupted = [float(row[3]) for row in rows.values() if row[1] == "corruption"]
    assert found["corrupted_accuracy"] == pytest.approx(sum(corrupted) / 15, abs=1e-9)
    assert read_metrics(workspace) == found
    assert table.read_bytes() == once


def test_an_unknown_model_is_refused(workspace):
    with pytest.raises(UserError, match="unknown model 'dense_11'"):
        evaluate.main("dense_11", workspace)

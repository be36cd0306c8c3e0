"""Tiny networks of every family on images of every shape are trained, exported and measured."""

import json
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from pipeline.config.model import Model, ModelConfig
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import Split, TrainingData
from pipeline.evaluation import report, robustness
from pipeline.inference import open_onnx, predict_onnx
from pipeline.training import export, networks, published
from pipeline.training.calibration import draw_calibration_pixels
from pipeline.training.fit import train_model
from serving.layers import NetworkLayers

CHANGES = {"translation": 2, "rotation": 5.0, "reflect": True, "horizontal_flip": True, "saturation": 0.2}
LAYERS = {
    "perceptron": {"learning_rate": 0.01},
    "dense": {"dense": [{"units": 4, "dropout": 0.1}], "optimizer": "Adam"},
    "cnn": {
        "convolutions": [
            {"filters": 4, "kernel_size": 2, "whitening": True},
            {"filters": 3, "kernel_size": 5, "strides": 2, "batch_normalization": True},
            {"filters": 4, "padding": "same", "pool_size": 3},
        ],
        "optimizer": "SGD",
        "augmentation": CHANGES,
        "test_time_augmentation": {"horizontal_flip": True, "translation": 1},
        "members": 2,
    },
}


@st.composite
def draw_models(draw: st.DrawFn) -> ModelConfig:
    """A section of params.yaml for one model; a cnn may have any kind of pooling."""
    family = draw(st.sampled_from(sorted(LAYERS)))
    section = {"family": family, "batch_size": draw(st.integers(1, 5)), "epochs": 1} | LAYERS[family]
    if family == "cnn":
        section["pooling"] = draw(st.sampled_from([None, "global_max", "global_average"]))
    model: ModelConfig = TypeAdapter(Model).validate_python(section)
    return model


@pytest.mark.filterwarnings("ignore")
# Each test run tries one shape at random: a shape takes seconds, and shrinking a failing example would take minutes.
@settings(max_examples=1, deadline=None, database=None, phases=[Phase.generate])
@given(
    model=draw_models(),
    height=st.integers(28, 224),
    width=st.integers(28, 224),
    channels=st.sampled_from([1, 3]),
    classes=st.integers(2, 200),
)
def test_a_model_of_any_family_is_trained_exported_and_measured_on_images_of_any_shape(
    model, height, width, channels, classes
):
    random = np.random.default_rng(0)

    def draw_split(count: int) -> Split:
        pixels = random.integers(0, 256, (count, height, width, channels)).astype(np.uint8)
        labels = random.integers(0, classes, count).astype(np.uint16)
        return Split(pixels, labels, np.arange(count))

    data = TrainingData(draw_split(7), draw_split(5), classes)
    model.require_fitting((height, width, channels))
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as name:
        patch.setattr(networks, "STEPS_PER_EXECUTION", 1)  # one step: otherwise building the graph takes longest
        network, epochs = train_model("tiny", model, data, seed=0)
        folder = Path(name)
        taken = published.take_pixels(network, model)
        calibration = draw_calibration_pixels(data.train.pixels, seed=0)
        export.export_model(taken, folder, {"parameters": "1"}, as_raw(data.val.pixels), calibration)
        session = open_onnx(folder / "model.onnx")
        val, test = (report.answer([session], folder, split) for split in (data.val, data.train))
        measured = report.compute_metrics({"parameters": "1", "temperature": "1"}, {"val": val, "test": test})
        history = pd.DataFrame([{"epoch": 1, **epochs[-1]["metrics"]}])
        names = [f"kind {number}" for number in range(classes)]
        dataset = {"name": "kinds", "class_names": names, "resize": "stretch"}
        conditions = robustness.measure(partial(predict_onnx, session), data.train, test.published, dataset)
        inside = NetworkLayers((folder / "model.onnx").read_bytes())
        report.write_report(folder, measured, {"val": val, "test": test}, history, dataset, inside)
        golden = json.loads((folder / "golden.json").read_text())
    for probabilities in (val.published, val.litert):
        assert probabilities.shape == (5, classes)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-3)
    assert val.int8.shape == (5, classes)  # int8 has steps of 1/256, so the sum may be off
    if model.publishes_last_epoch:
        assert measured["val_accuracy"] == pytest.approx(epochs[-1]["metrics"]["val_accuracy"])
        assert measured["val_loss"] == pytest.approx(epochs[-1]["metrics"]["val_loss"], rel=1e-3)
    assert np.shape(golden["pixels"])[1:] == as_raw(data.val.pixels).shape[1:]
    assert len(golden["class_names"]) == classes
    assert conditions["confidence"].between(0, 1).all()

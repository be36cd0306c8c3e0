"""The pictures' content, read back from matplotlib's figures before they are saved."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from pipeline.evaluation import plots


@pytest.fixture
def draw(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Figure]:
    """A function that calls a function of the module and returns the figure that it saves."""
    saved: list[tuple[Figure, Path]] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, path: saved.append((self, path)))

    def call(plot: Callable[..., None], *arguments: object, **options: int) -> Figure:
        plot(*arguments, tmp_path / "picture.png", **options)
        ((figure, path),) = saved
        assert path == tmp_path / "picture.png"
        return figure

    return call


def test_the_confusion_matrix_has_labels_as_rows_and_answers_as_columns(draw):
    figure = draw(plots.plot_confusion, np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1]), ["cat", "dog", "elk"])
    (axes,) = figure.axes
    assert axes.images[0].get_array().tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0]]
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("Test images", "answer", "label")
    assert axes.images[0].norm.gamma == 0.3
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog", "elk"]
    assert len(axes.texts) == 9
    assert figure.get_size_inches().tolist() == [6, 5]


def test_the_confusion_of_many_classes_is_shown_in_colours_alone(draw):
    names = [f"class {number}" for number in range(200)]
    figure = draw(plots.plot_confusion, np.arange(150), np.arange(150), names)
    (axes,) = figure.axes
    assert axes.images[0].get_array().shape == (200, 200)
    assert not axes.texts
    assert figure.get_size_inches().tolist() == [12, 11]


def test_the_surest_mistakes_come_first(draw):
    labels = np.array([0, 1, 1, 0])
    probabilities = np.array([[0.4, 0.6], [0.3, 0.7], [0.9, 0.1], [0.2, 0.8]])  # image 1 is right
    images = np.arange(4.0).reshape(4, 1, 1) * np.ones((1, 8, 6))
    figure = draw(plots.plot_mistakes, images, labels, probabilities, ["0", "1"])
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == ["0 (90%), is 1", "1 (80%), is 0", "1 (60%), is 0"]
    assert [axes.images[0].get_array().max() for axes in shown] == [2, 3, 0]
    assert figure.get_suptitle() == "The surest of 3 mistakes on 4 test images"
    assert len(figure.axes) == 24
    assert not any(axes.axison for axes in figure.axes)


def test_no_more_mistakes_are_shown_than_asked_for(draw):
    images, probabilities = np.zeros((5, 8, 6, 3), np.uint8), np.tile([0.4, 0.6], (5, 1))
    figure = draw(plots.plot_mistakes, images, np.zeros(5, int), probabilities, ["cat", "submarine"], number=2)
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == ["submarine (60%),\nis cat"] * 2


def test_the_learning_curves_are_those_of_both_splits(draw):
    history = pd.DataFrame({"epoch": [1, 2], "accuracy": [0.5, 0.6], "val_accuracy": [0.4, 0.7]})
    (axes,) = draw(plots.plot_learning_curves, history).axes
    curves = {line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist()) for line in axes.lines}
    assert curves == {"training": ([1, 2], [0.5, 0.6]), "validation": ([1, 2], [0.4, 0.7])}
    assert [text.get_text() for text in axes.get_legend().texts] == ["training", "validation"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "accuracy")
    assert all(float(tick).is_integer() for tick in axes.get_xticks())


def test_the_same_data_give_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        plots.plot_confusion(np.array([0, 1]), np.array([0, 0]), ["a", "b"], tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_class_names_with_dollars_are_drawn_as_they_are(tmp_path):
    names, labels = ["$1", "$\\x$"], np.array([0, 1])
    plots.plot_confusion(labels, labels, names, tmp_path / "confusion.png")
    plots.plot_mistakes(np.zeros((2, 8, 8), np.uint8), labels, np.eye(2)[::-1], names, tmp_path / "mistakes.png")

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline import inference
from pipeline.evaluation import strokes

SCALE = 16  # drawn larger by this factor, so that edges become as soft as those of scans


def draw(*lines: list[tuple[float, float]], width: float = 3.0) -> np.ndarray:
    """Return uint8 [28, 28]: lines of this width through points (x, y), with flat ends."""
    image = Image.new("L", (28 * SCALE, 28 * SCALE))
    for points in lines:
        scaled = [(x * SCALE, y * SCALE) for x, y in points]
        ImageDraw.Draw(image).line(scaled, fill=255, width=round(width * SCALE), joint="curve")
    return np.asarray(image.resize((28, 28), Image.Resampling.BOX))


def lean(degrees: float, width: float = 3.0) -> np.ndarray:
    """Return a stroke, 20 pixels high, that leans to the right by this many degrees."""
    away = 10 * np.tan(np.radians(degrees))
    return draw([(14 - away, 24), (14 + away, 4)], width=width)


@pytest.mark.parametrize("width", [2.0, 3.0, 4.0, 5.0])
@pytest.mark.parametrize("degrees", [0, 20, 45])
def test_a_stroke_is_as_thick_as_it_was_drawn(width, degrees):
    (found,) = strokes.measure_thickness(lean(degrees, width)[np.newaxis])
    assert found == pytest.approx(width, rel=0.2)


def test_thickness_does_not_follow_length_place_or_ink():
    short, long = draw([(10, 9), (10, 19)]), draw([(4, 4), (24, 4), (24, 24), (4, 24)])
    moved, pale = np.roll(short, (3, 5), (0, 1)), (lean(0) * 0.5).astype(np.uint8)
    found = strokes.measure_thickness(np.stack([short, moved, long, lean(0), pale]))
    assert found[0] == pytest.approx(found[1])
    assert found[2] == pytest.approx(found[0], rel=0.2)
    assert found[4] == pytest.approx(found[3], rel=0.02)


@pytest.mark.parametrize("degrees", [-40, -20, 0, 10, 30])
def test_a_stroke_leans_as_it_was_drawn(degrees):
    (found,) = strokes.measure_slant(lean(degrees, 1.5)[np.newaxis])
    assert found == pytest.approx(degrees, abs=1.5)


def test_images_without_ink_have_neither_and_raise_no_warning():
    empty = np.zeros((2, 28, 28), np.uint8)
    assert strokes.measure_thickness(empty).tolist() == strokes.measure_slant(empty).tolist() == [0, 0]


def test_images_are_divided_by_thickness_and_slant(monkeypatch):
    monkeypatch.setattr(inference, "BATCH_IMAGES", 2)
    images = np.stack([lean(0, 1), lean(0, 5), lean(40, 1), lean(-30, 1)])
    labels = np.arange(4)
    parts = strokes.slice_strokes(images, labels)
    assert {part.name: np.flatnonzero(part.is_in).tolist() for part in parts} == {
        "strokes of less than 2 pixels": [0, 2, 3],
        "strokes of 4 or more pixels": [1],
        "slant of less than -5 degrees": [3],
        "slant of -5 to 10 degrees": [0, 1],
        "slant of 25 or more degrees": [2],
    }
    assert all(part.labels is labels for part in parts)

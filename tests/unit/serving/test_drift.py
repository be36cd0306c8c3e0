"""From which values drift is measured, and how."""

import numpy as np
import pytest

from serving.drift import count, describe, measure, place


def described(image: np.ndarray, is_ink: bool) -> dict[str, float]:
    found = describe(image[np.newaxis], np.array([3]), np.array([0.75]), is_ink)
    return {name: float(value[0]) for name, value in found.items()}


def test_ink_is_described_by_how_much_it_is_where_it_is_and_how_far_it_reaches():
    image = np.zeros((20, 10), np.uint8)
    image[4:8, 6:8] = 255
    assert described(image, is_ink=True) == pytest.approx(
        {
            "class": 3, "confidence": 0.75, "brightness": 8 / 200, "contrast": np.sqrt(0.04 * 0.96), "row": 6 / 20,
            "column": 7 / 10, "height": 4, "width": 2,
        }
    )  # fmt: skip


def test_a_picture_is_described_by_its_colour_too():
    image = np.zeros((4, 4, 3), np.uint8)
    image[..., 0], image[:2, :, 2] = 255, 102
    found = described(image, is_ink=False)
    assert found["warmth"] == pytest.approx(1 - 0.2)
    assert found["brightness"] == pytest.approx((1 + 0.2) / 3)
    assert "height" not in found


def test_a_black_image_has_its_middle_in_the_middle():
    found = described(np.zeros((4, 4), np.uint8), is_ink=True)
    assert (found["row"], found["column"], found["height"]) == (0.5, 0.5, 0)


def test_a_large_picture_is_described_by_some_of_its_pixels():
    image = np.random.default_rng(0).integers(0, 256, (1000, 500, 3), np.uint8)
    assert described(image, False)["brightness"] == pytest.approx(image[::4, ::4].mean() / 255)


def test_bins_end_with_their_edges():
    edges = np.array([1.0, 2.0])
    assert count(place(np.array([0, 1, 1.5, 2, 2.5, 9]), edges), edges).tolist() == [2, 2, 2]


def test_the_index_is_that_of_the_literature():
    """Shares 0.5, 0.3, 0.2 against 0.4, 0.4, 0.2, of so many images that the count added to each bin has no effect."""
    counts, usual = np.array([5, 3, 2]) * 10**7, np.array([4, 4, 2]) * 10**7
    expected = 0.1 * np.log(5 / 4) - 0.1 * np.log(3 / 4)
    assert measure(counts, usual) == measure(usual, counts) == pytest.approx(expected, rel=1e-5)
    assert measure(usual, usual) == 0


def test_an_empty_bin_makes_a_finite_index():
    assert 0.25 < measure(np.array([0, 500]), np.array([2500, 2500])) < 10

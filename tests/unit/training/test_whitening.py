import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.training import whitening
from pipeline.training.whitening import compute_whitening


@pytest.fixture
def photographs() -> np.ndarray:
    """60 smooth colour images, uint8 [n, 20, 16, 3]: neighbours and colours are correlated, as in photographs."""
    random = np.random.default_rng(0)
    noise = random.normal(size=(60, 22, 18, 1)) + 0.5 * random.normal(size=(60, 22, 18, 3))
    soft = sliding_window_view(noise, (3, 3), axis=(1, 2)).mean(axis=(-1, -2))
    return np.clip(128 + 90 * soft, 0, 255).astype(np.uint8)


def convolve(pixels: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Return a convolution's outputs for every patch of images in [0, 1], as [patches, filters]."""
    windows = sliding_window_view(pixels / 255, kernel.shape[:2], axis=(1, 2)).transpose(0, 1, 2, 4, 5, 3)
    return windows.reshape(-1, kernel[..., 0].size) @ kernel.reshape(-1, kernel.shape[-1]) + bias


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_outputs_are_uncorrelated_of_mean_0_and_variance_1_and_their_negatives(photographs, size):
    filters = 2 * size**2 * 3
    outputs = convolve(photographs, *compute_whitening(photographs, size, filters))
    first, second = outputs[:, : filters // 2], outputs[:, filters // 2 :]
    np.testing.assert_allclose(first, -second, atol=1e-4)
    np.testing.assert_allclose(first.mean(axis=0), 0, atol=1e-4)
    covariance = np.cov(first.T)
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-4)
    assert (np.diag(covariance) <= 1).all()
    assert covariance[0, 0] == pytest.approx(1, abs=0.05)  # the strongest component; faint components stay below 1


def test_fewer_filters_are_the_strongest_components(photographs):
    kernel, bias = compute_whitening(photographs, 2, 24)
    strongest, its_bias = compute_whitening(photographs, 2, 6)
    np.testing.assert_array_equal(strongest, kernel[..., [0, 1, 2, 12, 13, 14]])
    np.testing.assert_array_equal(its_bias, bias[[0, 1, 2, 12, 13, 14]])


def test_images_of_one_grey_give_finite_filters():
    kernel, bias = compute_whitening(np.full((3, 5, 5, 1), 7, np.uint8), 2, 8)
    assert np.isfinite(kernel).all()
    assert np.isfinite(bias).all()


def test_of_many_images_some_all_over_are_looked_at(photographs, monkeypatch):
    monkeypatch.setattr(whitening, "MAX_PATCHES", 3 * 20 * 16)
    kernel, _ = compute_whitening(photographs, 2, 24)
    np.testing.assert_array_equal(kernel, compute_whitening(photographs[[0, 29, 59]], 2, 24)[0])

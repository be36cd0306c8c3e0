from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA

from pipeline.evaluation import layer_plots
from serving.layers import NetworkLayers
from tests.helpers.networks import write_onnx

NAMES = [str(digit) for digit in range(10)]


def test_tiles_stand_side_by_side_with_gaps_and_no_more_than_can_be_seen():
    pictures = np.arange(45 * 2 * 3, dtype=float).reshape(45, 2, 3)
    tiled = layer_plots.tile(pictures)
    assert tiled.shape == (2 * 3, 20 * 4)
    np.testing.assert_array_equal(tiled[:2, 4:7], pictures[1])
    np.testing.assert_array_equal(tiled[3:5, :3], pictures[20])
    assert np.isnan(tiled[2]).all()
    assert np.isnan(tiled[:, 3]).all()


def test_units_fill_rows_in_order():
    tiled = layer_plots.tile_answers(np.arange(70, dtype=np.float32))
    assert tiled.shape == (2, 64)
    assert (tiled[0, 63], tiled[1, 5]) == (63, 69)
    assert np.isnan(tiled[1, 6:]).all()


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 3)])
def test_the_weights_of_a_first_dense_layer_are_pictures_of_the_image(shape):
    kernel = np.zeros((np.prod(shape), 2))
    kernel.reshape(*shape, 2)[3, 1, ..., 1] = 5  # the second unit's weight for one pixel
    inside = SimpleNamespace(layers=[{"kind": "output"}], weights=[(kernel, None)])
    title, tiles = layer_plots.show_first_weights(inside, shape)
    assert "the answer 0, 1" in title
    expected = np.zeros((4, 3))
    expected[3, 1] = 5
    np.testing.assert_array_equal(tiles[:4, 4:7], expected)


def test_the_embedding_is_that_of_principal_components():
    features = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32) * [9, 1, 5, 1, 1, 2]
    expected = PCA(2).fit_transform(features.astype(np.float64))
    places = layer_plots.embed(features.astype(np.float32))
    np.testing.assert_allclose(np.abs(places), np.abs(expected), atol=1e-4)


def test_few_images_with_many_features_are_placed_as_with_the_matrix_of_all_features(monkeypatch):
    """That matrix of the last convolution of 64×64 pixels has 9,216 rows, and took minutes and gigabytes."""
    features = np.random.default_rng(0).normal(size=(12, 300)).astype(np.float32)
    sizes = []
    solve = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: (sizes.append(len(matrix)), solve(matrix))[1])
    places = layer_plots.embed(features)
    assert sizes == [12]
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    main = solve(centred.T @ centred)[1][:, ::-1][:, :2]
    np.testing.assert_allclose(np.abs(places), np.abs(centred @ main), atol=1e-4)
    assert not layer_plots.embed(np.ones((3, 300), np.float32)).any()
    assert not layer_plots.embed(np.ones((1, 300), np.float32)).any()


def test_features_of_one_number_are_drawn_too(tmp_path):
    features = np.random.default_rng(0).normal(size=(9, 1)).astype(np.float32)
    layer_plots.plot_embedding(features, np.arange(9), NAMES, "the output", tmp_path / "embedding.png")
    assert Image.open(tmp_path / "embedding.png").size == (600, 500)


def test_a_class_name_with_dollars_is_drawn_as_it_is(tmp_path):
    layer_plots.plot_embedding(np.ones((2, 3)), np.arange(2), ["$5", "$\\x$"], "the output", tmp_path / "a.png")


def test_a_network_that_names_no_layers_shows_the_image_alone(tmp_path):
    write_onnx(tmp_path / "model.onnx", wrong=0)
    inside = NetworkLayers((tmp_path / "model.onnx").read_bytes())
    layer_plots.plot_layers(inside, np.zeros((28, 28), np.uint8), NAMES, tmp_path / "layers.png")
    assert Image.open(tmp_path / "layers.png").size[0] == 800

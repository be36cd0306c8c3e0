import numpy as np

from pipeline.evaluation.edges import find_edges


def test_a_step_is_one_line_and_flat_images_have_none():
    images = np.zeros((2, 12, 16))
    images[1, :, 8:] = 1
    edges = find_edges(images)
    assert not edges[0].any()
    assert set(edges[1, 1:-1].sum(axis=1)) <= {1, 2}  # both sides of a step are alike
    assert np.isin(np.nonzero(edges[1])[1], (7, 8)).all()


def test_a_weak_edge_is_kept_only_beside_a_strong_one():
    """The unnormalised gradient of a step of 0.05 in a blurred image is between the two thresholds."""
    images = np.zeros((2, 20, 20))
    images[:, :, 10:] = 0.05
    assert not find_edges(images).any()
    images[1, :, 10:] = np.linspace(0.05, 0.2, 20)[:, np.newaxis]  # the same line, stronger further down
    edges = find_edges(images)
    assert not edges[0].any()  # another image's line doesn't help
    assert edges[1, 3].any()
    assert edges[1, 16].any()


def test_the_border_has_no_edge():
    images = np.random.default_rng(0).random((5, 9, 9))
    edges = find_edges(images)
    assert edges.any()
    assert not edges[:, [0, -1]].any()
    assert not edges[:, :, [0, -1]].any()

import numpy as np
import pytest

from pipeline.evaluation.drawings import draw_clouds, draw_lines, draw_zigzags


def test_clouds_reach_from_0_to_1_and_are_rough():
    clouds = draw_clouds(2, np.random.default_rng(0))
    assert clouds.shape == (2, 256, 256)
    assert clouds.min(axis=(1, 2)).tolist() == [0, 0]
    assert clouds.max(axis=(1, 2)).tolist() == [1, 1]
    near, far = (np.abs(clouds - np.roll(clouds, steps, axis=1)).mean() for steps in (1, 64))
    assert near < far / 4  # neighbours are similar


def test_a_line_is_full_on_its_rows_and_fades_in_one_and_a_half():
    line = draw_lines((np.array([3]), np.array([10])), (np.array([20]), np.array([10])))[0]
    assert line[10, 3:20].tolist() == [1] * 17
    assert not line[:, :3].any()
    assert not line[:, 20:].any()
    np.testing.assert_allclose(line[[8, 9, 11, 12], 5], [0, *[np.log(1 - 1 / 2.3) + 1] * 2, 0], rtol=1e-5)


@pytest.mark.parametrize("rise", [-5, 0, 4])
def test_a_zigzag_has_six_corners_along_its_line(rise):
    zigzag = np.minimum(draw_zigzags(np.array([13]), np.array([rise]))[0], 1)
    columns = np.flatnonzero(zigzag.any(axis=0))
    assert columns[0] in (1, 2, 3)
    assert columns[-1] in (24, 25, 26)
    middle = np.array([np.average(np.arange(28), weights=column) for column in zigzag.T[columns[0] : columns[-1]]])
    across = middle - (13 + rise / 23 * (np.arange(columns[0], columns[-1]) - 2))
    assert np.abs(across).max() < 3
    assert (np.diff(np.sign(np.diff(across))) != 0).sum() in (5, 6)

import numpy as np
import pytest

from pipeline.evaluation.corruptions import CORRUPTIONS, corrupt

DARK = np.zeros((50, 28, 28), np.uint8)
BAR = DARK.copy()
BAR[:, 4:24, 12:16] = 255  # an upright stroke in the middle


def change(name: str, images: np.ndarray = BAR, seed: int = 0) -> np.ndarray:
    return corrupt(name, images, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_same_seed_gives_the_same_bytes_and_leaves_the_images_as_they_were(name):
    before = BAR.copy()
    first, second = change(name), change(name)
    assert first.dtype == np.uint8
    assert first.shape == BAR.shape
    assert first.tobytes() == second.tobytes()
    assert not np.array_equal(first, BAR)
    assert np.array_equal(before, BAR)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_one_image_is_enough_and_another_draw_is_another_image_where_chance_is_part_of_it(name):
    assert change(name, BAR[:1]).shape == (1, 28, 28)
    chance = name not in {"scale", "brightness", "stripe", "canny_edges"}
    assert (not np.array_equal(change(name), change(name, seed=1))) == chance


def test_the_fifteen_are_those_of_mnist_c():
    assert len(CORRUPTIONS) == 15


def test_shot_noise_is_thirds_of_full_light_and_leaves_black_as_it_is():
    noisy = change("shot_noise")
    assert set(np.unique(noisy)) == {0, 85, 170, 255}
    assert not noisy[BAR == 0].any()
    assert (noisy[BAR > 0] == 0).mean() == pytest.approx(np.exp(-3), abs=0.02)  # Poisson: 0, where 3 are expected


def test_impulse_noise_replaces_17_percent_by_black_and_white():
    grey = np.full((50, 28, 28), 100, np.uint8)
    noisy = change("impulse_noise", grey)
    for value in (0, 255):
        assert (noisy == value).mean() == pytest.approx(0.085, abs=0.01)
    assert set(np.unique(noisy)) == {0, 100, 255}


def test_glass_blur_spreads_ink_and_keeps_its_amount():
    blurred = change("glass_blur")
    assert blurred.sum() == pytest.approx(int(BAR.sum()), rel=0.02)
    assert not blurred[:, :, 24:].any()  # at the right it moves by a pixel each time, and by the two blurs
    assert blurred[:, 14].std(axis=0)[11:17].min() > 5  # each image is blurred differently
    assert np.abs(np.diff(blurred.astype(int), axis=1)).max() < 150  # blurred after the exchange, too


def test_motion_blur_goes_to_one_side():
    dot = DARK.copy()
    dot[:, 14, 20] = 255
    blurred = change("motion_blur", dot)
    assert not blurred[:, :, 21:].any()  # the value of a pixel comes from the pixels on its right
    assert blurred[:, 14, 20].min() > 0.2 * 255  # a half Gaussian's first weight: 1 / (3 √(π/2) + ½)
    assert blurred[:, 14, 20].max() < 0.26 * 255
    assert set(blurred.sum(axis=(1, 2)).tolist()) <= {254, 255, 256}


@pytest.mark.parametrize(("name", "height"), [("scale", 14), ("rotate", 20), ("shear", 20 / np.cos(0.4))])
def test_the_affine_ones_keep_the_centre(name, height):
    changed = change(name)[0] > 127
    rows, columns = np.nonzero(changed)
    assert rows.mean() == pytest.approx(13.5, abs=0.2)
    assert columns.mean() == pytest.approx(13.5, abs=0.2)
    assert np.ptp(rows) + 1 == pytest.approx(height, abs=2)


@pytest.mark.parametrize("name", ["rotate", "shear"])
def test_a_bar_leans_by_0_4_radians_to_either_side(name):
    slopes = {round(lean(image), 1) for image in change(name)}
    assert slopes == {-0.4, 0.4}


def lean(image: np.ndarray) -> float:
    """The angle between a bar and the vertical, computed from the moments of its ink."""
    rows, columns = np.nonzero(image > 127)
    rows, columns = rows - rows.mean(), columns - columns.mean()
    return float(np.arctan((rows * columns).sum() / (rows**2).sum()))


def test_brightness_adds_half():
    assert set(np.unique(change("brightness"))) == {128, 255}


def test_translate_moves_by_three_in_each_direction():
    dot = DARK.copy()
    dot[:, 14, 14] = 255
    places = {tuple(place) for _, *place in np.argwhere(change("translate", dot))}
    assert places == {(11, 11), (11, 17), (17, 11), (17, 17)}


def test_stripe_inverts_the_outer_quarters():
    striped = change("stripe", DARK)
    assert (striped[:, :, [0, 6, 21, 27]] == 255).all()
    assert not striped[:, :, 7:21].any()


def test_fog_keeps_the_brightest_and_covers_the_page():
    foggy = change("fog")
    assert foggy.max() <= 255
    assert (foggy[BAR == 0] > 0).mean() > 0.95
    bar, page = foggy[BAR > 0].mean(), foggy[BAR == 0].mean()
    assert bar - page == pytest.approx(255 / 4, abs=15)  # the ink has weight 1, the fog weight 3
    assert page == pytest.approx(255 * 3 / 4 / 2, abs=30)


def test_spatter_is_patches_of_dark_grey():
    mud = change("spatter", DARK)
    assert mud.max() <= 63
    assert 0.1 < (mud > 0).mean() < 0.3


def test_a_dotted_line_is_two_columns_on_and_two_off():
    dotted = change("dotted_line", DARK)
    drawn = (dotted > 0).any(axis=(0, 1))
    assert np.flatnonzero(drawn).tolist() == [column for column in range(27) if column % 4 >= 2]


def test_a_zigzag_goes_up_and_down_from_column_2_to_25():
    zigzag = change("zigzag", DARK)
    columns = np.flatnonzero((zigzag > 0).any(axis=(0, 1)))
    assert columns[0] in (1, 2)
    assert columns[-1] in (24, 25)
    middle = [np.average(np.arange(28), weights=image + 1e-9) for image in zigzag[0].T[2:24]]
    turns = (np.diff(np.sign(np.diff(middle))) != 0).sum()
    assert 5 <= turns <= 8


def test_edges_are_white_lines_around_the_ink():
    edges = change("canny_edges")
    assert set(np.unique(edges)) == {0, 255}
    assert np.flatnonzero(edges[0, 14]).tolist() in ([11, 15], [12, 15], [11, 16], [12, 16])
    assert not edges[:, 14, 13:15].any()

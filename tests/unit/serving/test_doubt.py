"""Which answers are unsure, and why."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.evaluation.doubt import fit
from serving.doubt import CLOSE, NO_DIGIT, SEVERAL, UNLIKE, describe, find_doubts


def draw(lines: list[list[tuple[int, int]]], width: int = 3) -> np.ndarray:
    image = Image.new("L", (28, 28))
    for line in lines:
        ImageDraw.Draw(image).line(line, fill=255, width=width)
    return np.asarray(image)


def answer(digit: int, sureness: float) -> np.ndarray:
    probabilities = np.full(10, (1 - sureness) / 9)
    probabilities[digit] = sureness
    return probabilities


def usual_images(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """400 upright lines and sevens, and sure answers to them."""
    random = np.random.default_rng(seed)
    images, answers = [], []
    for number in range(400):
        lean, width = int(random.integers(-3, 4)), int(random.integers(2, 5))
        line = [(14 + lean, 4), (14 - lean, 23)]
        images.append(draw([line] if number % 2 else [[(7, 4), (20, 4), (11 + lean, 23)]], width))
        answers.append(answer(1 if number % 2 else 7, random.uniform(0.95, 0.99)))
    return np.stack(images), np.stack(answers)


PIXELS, ANSWERS = usual_images(seed=0)
USUAL = fit(PIXELS, ANSWERS)


def test_answers_to_images_like_those_of_validation_are_sure():
    doubts = find_doubts(*usual_images(seed=1), USUAL)
    assert sum(doubt is not None for doubt in doubts) <= 8


@pytest.mark.parametrize(
    ("image", "probabilities", "reason"),
    [
        (np.zeros((28, 28)), answer(1, 0.97), NO_DIGIT),
        (np.full((28, 28), 20), answer(1, 0.97), NO_DIGIT),
        (draw([[(x, 9), (x, 18)] for x in (4, 14, 24)]), answer(1, 0.97), SEVERAL),
        (draw([[(4, y), (23, y)] for y in (6, 20)]), answer(7, 0.97), SEVERAL),
        (PIXELS[1], (answer(1, 0.97) + answer(7, 0.97)) / 2, CLOSE),
        (PIXELS[1], answer(1, 0.4), UNLIKE),
        (np.random.default_rng(0).integers(0, 256, (28, 28)), answer(1, 0.97), UNLIKE),
        (draw([[(4, 4), (23, 23)], [(4, 23), (23, 4)], [(4, 14), (23, 14)]]), answer(7, 0.97), UNLIKE),
    ],
    ids=["black", "dark", "three lines", "two rows", "one or seven", "all alike", "noise", "a star"],
)
def test_other_answers_are_unsure_for_a_reason(image, probabilities, reason):
    for dtype in (np.uint8, np.float32):
        assert find_doubts(image[np.newaxis].astype(dtype), probabilities[np.newaxis], USUAL) == [reason]


def test_each_image_is_judged_by_itself():
    pixels, answers = np.stack([PIXELS[0], np.zeros((28, 28))]), ANSWERS[:2]
    assert find_doubts(pixels, answers, USUAL) == [None, NO_DIGIT]


def test_an_image_is_described_by_its_answer_and_seven_measures():
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 4:24, 10] = image[0, 4:24, 20] = 255  # two upright lines
    image[0, 4, 15] = 102  # 0.4 of full ink
    (described,) = describe(image, np.array([[0.25, 0.75, 0.0]]))
    assert described[:3] == pytest.approx(np.log([0.25, 0.75, 1e-7]))
    ink, edges, soft_ink = 40.4, 4 * 20 + 4 * 1 + 4 * 0.4, 1 / 41
    assert described[3:6] == pytest.approx([ink / 784, edges / ink, soft_ink])
    assert described[6:8] == pytest.approx([20, 3])  # rows and columns with ink
    assert described[8:] == pytest.approx([41 / 20, 1])  # strokes per row and per column

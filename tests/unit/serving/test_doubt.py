"""Which answers are unsure, and why."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pipeline.evaluation.doubt import fit
from serving.doubt import CLOSE, NOTHING, SEVERAL, UNLIKE, describe, find_doubts


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
USUAL = fit(PIXELS, ANSWERS, is_ink=True)


def test_answers_to_images_like_those_of_validation_are_sure():
    doubts = find_doubts(*usual_images(seed=1), USUAL, is_ink=True)
    assert sum(doubt is not None for doubt in doubts) <= 8


@pytest.mark.parametrize(
    ("image", "probabilities", "reason"),
    [
        (np.zeros((28, 28)), answer(1, 0.97), NOTHING),
        (np.full((28, 28), 20), answer(1, 0.97), NOTHING),
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
        assert find_doubts(image[np.newaxis].astype(dtype), probabilities[np.newaxis], USUAL, is_ink=True) == [reason]


def test_each_image_is_judged_by_itself():
    pixels, answers = np.stack([PIXELS[0], np.zeros((28, 28))]), ANSWERS[:2]
    assert find_doubts(pixels, answers, USUAL, is_ink=True) == [None, NOTHING]


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


def sure_answers(count: int, classes: int, seed: int) -> np.ndarray:
    """Answers, float32 [count, classes], nearly all of them sure."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 1, (count, classes))
    scores[np.arange(count), random.integers(0, classes, count)] += 9
    exponents = np.exp(scores)
    return (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("count", "classes"), [(1000, 10), (400, 100), (12, 2), (10, 60)])
def test_of_pictures_the_answers_alone_say_whether_they_are_sure(count, classes):
    pixels = np.zeros((count, 4, 4, 3), np.uint8)
    usual = fit(pixels, sure_answers(count, classes, seed=0), is_ink=False)
    assert np.shape(usual["means"]) == (classes, classes)
    black = np.zeros((200, 4, 4, 3), np.uint8)
    doubts = find_doubts(black, sure_answers(200, classes, seed=1), usual, is_ink=False)
    assert doubts.count(None) >= 150
    if count == 1000:
        between = np.full((2, classes), 1e-4, np.float32)
        between[0, :2], between[1] = 0.5, 1 / classes
        assert find_doubts(black[:2], between, usual, is_ink=False) == [CLOSE, CLOSE]


def test_certain_answers_to_all_validation_images_leave_room_for_others():
    certain = np.full((100, 5), 1e-9)
    certain[np.arange(100), np.arange(100) % 5] = 1
    usual = fit(np.zeros((100, 4, 4)), certain, is_ink=False)
    nearly = np.where(certain == 1, 0.9999, 1e-7)
    assert find_doubts(np.zeros((100, 4, 4)), nearly, usual, is_ink=False) == [None] * 100


def test_a_single_validation_image_says_nothing_of_what_is_usual():
    assert fit(PIXELS[:1], ANSWERS[:1], is_ink=True) is None

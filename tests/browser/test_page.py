"""The page in a real browser: digits drawn with mouse, finger and keys; files; errors; what it must never do."""

import io
import json
import re
import urllib.request
from itertools import pairwise
from pathlib import Path

import mlflow
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.helpers.accessibility import find_barriers
from tests.helpers.page import CHROMIUM, CONTRAST, STROKES, draw, hand_over, points, problem, read, seen, sent
from tests.helpers.project import SOURCE
from tests.helpers.server import running

SEVEN = SOURCE / "docs" / "seven.png"
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")


@pytest.fixture(scope="module")
def address(app) -> str:
    """The app on the shrunken pipeline's champion, which reads digits badly."""
    return f"{app.address}/"


def test_it_reads_the_ten_digits(mnist, visit):
    with running(mnist, model="models:/mnist@champion") as app:
        page, answers = visit(f"{app.address}/"), {}
        for digit, lines in STROKES.items():
            draw(page, lines)
            answers[digit] = read(page)
            page.get_by_role("button", name="Clear").click()
    assert sum(answer == str(digit) for digit, answer in answers.items()) >= 9, answers


def test_the_answer_changes_while_one_draws(address, visit):
    page = visit(address)
    first, *others = points(page, STROKES[2][0])
    page.mouse.move(*first)
    page.mouse.down()
    pictures = []
    for point in others[:3] + others[-1:]:
        page.mouse.move(*point, steps=2)
        assert read(page) in list("0123456789")
        pictures.append(seen(page))
    assert all((a != b).any() for a, b in pairwise(pictures))
    columns = [float(text) for text in page.locator("#probabilities span").all_inner_texts()]
    assert len(columns) == 10
    assert sum(columns) == pytest.approx(100, abs=1)
    assert columns.index(max(columns)) == int(page.locator("#label").inner_text())
    # A screen reader reads the answer out when the line is finished, not before.
    expect(page.get_by_role("status")).to_be_empty()
    page.mouse.up()
    expect(page.get_by_role("status")).to_contain_text(f"{page.locator('#label').inner_text()}, ")


def test_one_request_at_a_time_and_the_newest_state_wins(address, visit):
    page, held = visit(address), []
    requests = sent(page)
    page.route("**/predict", lambda route: held.append(route), times=1)
    with page.expect_request("**/predict"):
        draw(page, STROKES[4][:1])
    draw(page, STROKES[4][1:])
    draw(page, STROKES[1])
    assert len(requests) == 1
    held[0].continue_()
    read(page)
    assert len(requests) == 2
    unhindered = visit(address)
    draw(unhindered, STROKES[4] + STROKES[1])
    assert read(page) == read(unhindered)
    assert (seen(page) == seen(unhindered)).all()


def test_the_drawing_is_sent_alike_in_light_and_in_dark_at_any_resolution(address, visit):
    pictures = []
    for options in ({}, {"color_scheme": "dark", "device_scale_factor": 3, "viewport": {"width": 390, "height": 844}}):
        page = visit(address, **options)
        draw(page, STROKES[5])
        read(page)
        pictures.append(seen(page))
    difference = np.abs(pictures[0] - pictures[1])
    assert difference.mean() < 5, difference  # the mouse's points are rounded to the window's pixels


@pytest.mark.parametrize("way", ["Clear", "Escape", "Delete", "Undo", "Control+z"])
def test_a_sheet_can_be_cleared_and_a_late_answer_is_dropped(address, visit, way):
    page, held = visit(address), []
    draw(page, STROKES[7])
    assert read(page)
    page.route("**/predict", lambda route: held.append(route), times=1)
    with page.expect_request("**/predict"):
        page.mouse.down()
    page.mouse.up()
    page.keyboard.press("Control+z")  # the dot that the mouse just made
    if page.get_by_role("button", name=way).count():
        page.get_by_role("button", name=way).click()
    else:
        page.keyboard.press(way)
    assert page.locator("#label").inner_text() == ""
    with page.expect_response("**/predict"):
        held[0].continue_()
    assert read(page) == ""
    assert not page.locator("#probabilities span").all_inner_texts()[0]
    assert page.locator("#hint").is_visible()


def test_undo_takes_back_one_line(address, visit):
    page = visit(address)
    draw(page, STROKES[4][:1])
    read(page)
    before = seen(page)
    draw(page, STROKES[4][1:])
    read(page)
    assert (seen(page) != before).any()
    page.get_by_role("button", name="Undo").click()
    read(page)
    assert (seen(page) == before).all()


def test_the_keyboard_reaches_everything_and_draws(address, visit):
    page = visit(address, viewport={"width": 390, "height": 600})
    canvas = page.get_by_role("application", name="Drawing area")
    others = [page.get_by_role("button", name="Clear"), page.get_by_role("button", name="Undo")]
    outline = "element => getComputedStyle(element).outlineStyle"
    for control in [canvas, *others, page.get_by_label("Choose an image")]:
        page.keyboard.press("Tab")
        expect(control).to_be_focused()
        shown = page.locator("label[for=file]") if control == page.get_by_label("Choose an image") else control
        assert shown.evaluate(outline) == "solid"
    canvas.focus()
    scrolled = page.evaluate("scrollY")
    for key in [*["ArrowUp"] * 15, "Space", *["ArrowDown"] * 30, "Space"]:
        page.keyboard.press(key)
    expect(page.get_by_role("status")).to_contain_text(read(page))
    rows, columns = np.nonzero(seen(page)[..., 0] > 127)
    assert np.ptp(rows) > 15  # an upright line
    assert np.ptp(columns) < 5
    page.keyboard.press("ArrowLeft")  # the pen is lifted: it moves without drawing
    assert page.evaluate("scrollY") == scrolled
    before = seen(page)
    read(page)
    assert (seen(page) == before).all()


def test_a_finger_draws_and_does_not_scroll(address, visit):
    page = visit(address, viewport={"width": 320, "height": 500}, has_touch=True, is_mobile=True)
    fingers = page.context.new_cdp_session(page)
    kind = "touchStart"
    for x, y in reversed(points(page, STROKES[1][0])):  # upwards, a movement that would otherwise scroll the page
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        kind = "touchMove"
    fingers.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert read(page)
    assert np.ptp(np.nonzero(seen(page)[..., 0] > 127)[0]) > 15
    assert page.evaluate("scrollY") == 0


@pytest.fixture(scope="module")
def image(project) -> np.ndarray:
    """A test image, which is in MNIST's form already, so the network gets exactly these pixels."""
    return np.load(project.folder / "data/prepared/test/images.npy")[0, ..., 0]


@pytest.fixture(scope="module")
def file(image, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("files") / "digit.png"
    Image.fromarray(image).save(path)
    return path


@pytest.mark.parametrize("way", ["file", "drop", "paste"])
def test_an_image_is_read_as_it_is(address, visit, image, file, way):
    page = visit(address)
    draw(page, STROKES[1])
    read(page)
    with page.expect_request("**/predict"):
        hand_over(page, file, way)
    assert read(page)
    assert (seen(page)[..., 0] == image).all()
    draw(page, STROKES[1])  # a new sheet
    read(page)
    assert (seen(page)[..., 0] != image).any()


def jpeg() -> bytes:
    data = io.BytesIO()
    Image.effect_noise((300, 300), 80).save(data, "JPEG")
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("notes.txt", b"seven", "no PNG, JPEG or WebP image"),
        ("cut.jpg", jpeg()[:2000], "damaged or cut short"),
        ("wrong.png", b"seven", "PNG, JPEG or WebP is expected"),
        ("huge.png", bytes(33 << 20), "larger than"),
    ],
)
def test_a_wrong_file_is_explained_and_the_page_recovers(address, visit, tmp_path, name, content, message):
    page = visit(address)
    requests = sent(page)
    (tmp_path / name).write_bytes(content)
    page.get_by_label("Choose an image").set_input_files(tmp_path / name)
    problem(page).to_contain_text(message)
    assert read(page) == ""
    assert len(requests) == (name != "notes.txt")  # a refused image isn't sent again
    draw(page, STROKES[1])
    assert read(page)
    problem(page).to_be_empty()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"status": 503, "json": {"error": "too much to do"}, "headers": {"Retry-After": "1"}}, "too much to do"),
        ({"status": 429, "json": {"error": "too many requests"}}, "too many requests"),
        ({"status": 502, "body": "<h1>Bad gateway</h1>"}, "the server does not answer"),
        ({"status": 503, "json": None}, "the server does not answer"),
        ({"status": 200, "body": "<h1>Log in to this network</h1>"}, "the server does not answer"),
        ({"status": 200, "body": '{"predictions": [{"label"'}, "the server does not answer"),
        ({"status": 200, "json": {"hello": 1}}, "the server does not answer"),
        (None, "the server does not answer"),
    ],
)
def test_what_passes_at_the_server_is_tried_again(address, visit, file, fault, message):
    page = visit(address)
    page.route("**/predict", lambda route: route.fulfill(**fault) if fault else route.abort(), times=1)
    page.get_by_label("Choose an image").set_input_files(file)  # the only change: nothing else makes the page ask again
    problem(page).to_contain_text(message)
    assert page.locator("#label").inner_text() == ""
    assert page.get_by_role("alert").is_visible()
    problem(page).to_be_empty()  # although the user did nothing
    assert read(page)


def test_what_a_proxy_refuses_is_explained_and_not_sent_again(address, visit):
    page = visit(address)
    requests = sent(page)
    page.route("**/predict", lambda route: route.fulfill(status=413, body="<h1>Request Entity Too Large</h1>"))
    page.get_by_label("Choose an image").set_input_files(SEVEN)
    problem(page).to_have_text("a proxy before the server refuses this, with status 413")
    assert read(page) == ""
    assert len(requests) == 1


def test_it_says_why_an_answer_is_unsure(address, visit):
    page = visit(address)
    doubts = iter([{"sure": False, "reason": "several digits"}, {"sure": True}, {}])

    def doubted(route) -> None:
        response = route.fetch()
        answer = response.json()
        (prediction,) = answer["predictions"]
        doubt = next(doubts)
        answer["predictions"] = [{key: prediction[key] for key in prediction.keys() - {"sure", "reason"}} | doubt]
        route.fulfill(response=response, body=json.dumps(answer))

    page.route("**/predict", doubted)
    for text, announced in (("unsure: several digits", ", unsure: several digits"), ("", " %"), ("", " %")):
        with page.expect_response("**/predict"):
            page.get_by_label("Choose an image").set_input_files(SEVEN)
        assert read(page) in list("0123456789")
        assert page.locator("#doubt").inner_text().lower() == text
        expect(page.get_by_role("status")).to_have_text(re.compile(f"{announced}$"))


def test_it_describes_the_model_that_answers(project, address, visit):
    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    champion = client.get_model_version_by_alias("digits", "champion")
    accuracy = client.get_run(champion.run_id).data.metrics["test_accuracy"]
    page = visit(address)
    facts = ["digits", champion.tags["model"], f"{champion.version}, champion", f"{accuracy:.2%}".replace("%", " %")]
    assert page.locator("#model dd").all_inner_texts() == facts
    draw(page, STROKES[1])
    read(page)

    def promoted(route) -> None:
        response = route.fetch()
        answer = response.json()
        answer["model"]["version"] = "77"
        route.fulfill(response=response, body=json.dumps(answer))

    page.route("**/predict", promoted)
    page.route("**/readyz", promoted)
    draw(page, STROKES[1])
    expect(page.locator("#version")).to_have_text("77, champion")
    read(page)
    page.unroute_all(behavior="wait")


@pytest.mark.parametrize("width", [320, 390, 740, 1280])
def test_nothing_is_wider_than_the_window(address, visit, tmp_path, width):
    page = visit(address, viewport={"width": width, "height": 700})
    draw(page, STROKES[1])
    read(page)
    page.get_by_label("Choose an image").set_input_files({"name": "a", "mimeType": "text/plain", "buffer": b""})
    problem(page).not_to_be_empty()
    assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_of_wcag_aa(address, visit, scheme):
    page = visit(address, color_scheme=scheme)
    blank = page.evaluate(CONTRAST)
    draw(page, STROKES[1])
    read(page)
    page.get_by_label("Choose an image").set_input_files({"name": "a", "mimeType": "text/plain", "buffer": b""})
    problem(page).not_to_be_empty()
    contrast, text = min(blank, page.evaluate(CONTRAST))
    assert contrast >= 4.5, text


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_has_no_serious_barrier(address, visit, scheme):
    page = visit(address, color_scheme=scheme)
    draw(page, STROKES[1])
    read(page)
    assert find_barriers(page) == []


def test_who_wants_no_motion_gets_none(address, visit):
    durations = []
    for motion in ("no-preference", "reduce"):
        bar = visit(address, reduced_motion=motion).locator("#probabilities i").first
        durations.append(bar.evaluate("bar => getComputedStyle(bar).transitionDuration"))
    assert durations[0] != "0s"
    assert durations[1] == "0s"


def test_the_page_needs_no_exception_from_its_content_security_policy(address):
    with urllib.request.urlopen(address) as response:
        policy, page = response.headers["Content-Security-Policy"], response.read().decode()
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert " style=" not in page
    assert '<html lang="en">' in page

"""The page with playgrounds shows what NumPy and Keras' formulas give, also when it is used with the keyboard."""

import math
import re

import numpy as np
import pytest

from tests.helpers.accessibility import find_barriers
from tests.helpers.page import CHROMIUM, CONTRAST

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")
CURVE = [0.25, 0, -0.75, -0.2, 1]  # coefficients of the loss, the highest power first
SLOPE = np.polyder(CURVE)


@pytest.fixture
def page(app, browser):
    complaints = []
    page = browser.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: request.url.startswith((app.address, "data:")) or complaints.append(request.url))
    page.goto(f"{app.address}/learn")
    yield page
    page.close()
    assert complaints == []


def numbers(page, section: str) -> list[float]:
    """The figures in the sentence below a playground."""
    text = page.locator(f"#{section} output").inner_text().replace("−", "-").replace("-ln", "ln")
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", text)]


def set_control(page, section: str, name: str, value: float) -> None:
    page.locator(f"#{section} [name={name}]").first.fill(str(value))


def test_a_neuron_adds_and_bends(page):
    set_control(page, "neuron", "weight", -2)
    set_control(page, "neuron", "bias", 0.5)
    page.get_by_label("Activation").select_option("sigmoid")
    assert numbers(page, "neuron") == [-2, 1.5, 0.5, -2.5, pytest.approx(1 / (1 + math.exp(2.5)), abs=0.005)]


def test_softmax_and_cross_entropy_are_those_of_the_scores(page):
    set_control(page, "softmax", "temperature", 2)
    page.get_by_label("The image shows a").select_option("5")
    powers = np.exp(np.array([2, 1, 0]) / 2)
    right = (powers / powers.sum())[1]
    label, percent, shown, entropy = numbers(page, "softmax")
    assert (label, percent) == (5, pytest.approx(100 * right, abs=0.05))
    assert (shown, entropy) == (pytest.approx(right, abs=5e-4), pytest.approx(-math.log(right), abs=0.005))


@pytest.mark.parametrize("optimizer", ["SGD", "momentum", "RMSprop", "Adam"])
def test_each_optimizer_steps_as_kerass_own(page, optimizer):
    keras = pytest.importorskip("keras")
    own = {
        "SGD": lambda rate: keras.optimizers.SGD(rate),
        "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9),
        "RMSprop": lambda rate: keras.optimizers.RMSprop(rate),
        "Adam": lambda rate: keras.optimizers.Adam(rate),
    }[optimizer](0.1)
    page.locator("#descent [name=optimizer]").select_option(optimizer)
    set_control(page, "descent", "rate", -1)
    page.get_by_role("button", name="Twenty steps").press("Enter")
    page.get_by_role("button", name="One step").press("Enter")
    weight = keras.Variable([-1.8])
    for _ in range(21):
        own.apply([keras.ops.convert_to_tensor(np.polyval(SLOPE, weight.numpy()))], [weight])
    (place,) = weight.numpy()
    _, steps, shown, loss = numbers(page, "descent")
    assert (steps, shown) == (21, pytest.approx(place, abs=0.006))
    assert loss == pytest.approx(np.polyval(CURVE, place), abs=0.006)


def test_too_large_a_rate_is_told(page):
    set_control(page, "descent", "rate", 0.5)
    page.get_by_role("button", name="Twenty steps").click()
    assert "the rate is too large" in page.locator("#descent output").inner_text()
    page.get_by_role("button", name="Back to the start").click()
    assert "After 0 steps the weight is -1.80" in page.locator("#descent output").inner_text()


def test_the_way_across_the_surface_goes_down(page):
    for optimizer in ("SGD", "momentum", "RMSprop", "Adam"):
        page.locator("#surface [name=optimizer]").select_option(optimizer)
        _, before, after, *_ = numbers(page, "surface")
        assert after < before / 2


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_each_screen_and_can_be_read(page, width, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    contrast, text = page.evaluate(CONTRAST)
    assert contrast >= 4.5, text


def test_it_has_no_barriers(app, browser):
    page = browser.new_page(bypass_csp=True)  # for axe-core's own styles
    page.goto(f"{app.address}/learn")
    assert find_barriers(page) == []
    page.close()


def test_the_page_to_draw_on_leads_there_and_back(app, browser):
    page = browser.new_page()
    page.goto(app.address)
    page.get_by_role("link", name="How a network learns").click()
    page.wait_for_url("**/learn")
    page.get_by_role("link", name="Draw a digit").click()
    page.wait_for_url(f"{app.address}/")
    page.close()

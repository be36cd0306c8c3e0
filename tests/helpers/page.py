"""The page in a browser: what a person does on it and sees."""

import shutil
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, expect

CHROMIUM = shutil.which("chromium")

# Each digit as a person draws it: lines of points x,y in hundredths of the canvas.
STROKES = {
    0: ["52,16 38,22 29,38 28,56 34,74 48,84 62,79 71,62 71,42 65,24 52,16"],
    1: ["53,16 51,38 50,60 48,84"],
    2: ["30,34 35,22 48,16 61,20 66,32 60,47 48,61 34,77 31,83 46,79 58,80 72,82"],
    3: ["32,23 44,16 58,18 64,28 58,41 45,47 59,49 68,60 64,75 51,84 37,82 29,75"],
    4: ["38,17 33,36 30,50 46,51 68,49", "63,18 60,42 58,64 56,86"],
    5: ["39,18 36,34 34,46 48,42 62,48 67,62 61,76 47,84 31,79", "39,18 52,18 67,16"],
    6: ["60,15 46,27 36,45 32,64 37,80 50,85 63,79 66,66 58,56 45,57 34,69"],
    7: ["29,22 44,21 58,20 70,19 63,36 55,54 49,70 45,85"],
    8: ["63,25 52,16 39,21 37,34 48,45 61,57 64,72 54,84 40,81 35,68 43,54 58,42 65,32 63,25"],
    9: ["65,30 54,18 40,21 33,34 39,47 53,47 63,37 65,28 64,48 61,66 57,86"],
}

HAND_OVER = """([bytes, type, kind]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "picture", { type }));
  const event = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: data, bubbles: true })
                                 : new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true });
  document.querySelector("main").dispatchEvent(event);
}"""

SEEN = """() => {
  const { width, height } = document.querySelector("#seen");
  return [width, height, [...document.querySelector("#seen").getContext("2d").getImageData(0, 0, width, height).data]];
}"""

# The smallest contrast (WCAG 2.2) between a text and its background, and that text.
CONTRAST = """() => {
  const rgb = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => rgb(color).slice(0, 3).map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
    .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return rgb(color)[3] === 0 ? ground(element.parentElement) : color;
  };
  const texts = [...document.querySelectorAll("body *")].filter((element) => element.checkVisibility()
    && [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim()));
  return texts.map((element) => {
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.textContent];
  }).sort((a, b) => a[0] - b[0])[0];
}"""


def points(page: Page, line: str) -> list[tuple[float, float]]:
    """Return a line's points in pixels of the window."""
    box = page.locator("#canvas").bounding_box()
    pairs = [map(float, point.split(",")) for point in line.split()]
    return [(box["x"] + box["width"] * x / 100, box["y"] + box["height"] * y / 100) for x, y in pairs]


def draw(page: Page, lines: list[str]) -> None:
    for line in lines:
        first, *others = points(page, line)
        page.mouse.move(*first)
        page.mouse.down()
        for point in others:
            page.mouse.move(*point, steps=2)
        page.mouse.up()


def read(page: Page) -> str:
    """Return the label on the page, once the newest drawing is answered; "" if there is none."""
    expect(page.locator("#answer")).not_to_have_attribute("aria-busy", "true")
    return page.locator("#label").inner_text()


def seen(page: Page) -> np.ndarray:
    """Return the pixels that the page shows as the network's input, 0…255: [height, width, 3]."""
    width, height, data = page.evaluate(SEEN)
    return np.array(data).reshape(height, width, 4)[..., :3]


def problem(page: Page):
    return expect(page.locator("#problem"))


def sent(page: Page) -> list:
    """Return a list to which each request to /predict is added from now on."""
    requests = []
    page.on("request", lambda request: request.url.endswith("/predict") and requests.append(request))
    return requests


def hand_over(page: Page, file: Path, way: str) -> None:
    """Choose a file, drop or paste it, or take it with the camera."""
    if way in ("file", "camera"):
        page.locator(f"#{way}").set_input_files(file)
    else:
        page.evaluate(HAND_OVER, [list(file.read_bytes()), f"image/{file.suffix[1:]}", way])

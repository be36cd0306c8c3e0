"""Measure how soon drift is noticed: send test images to the app, then changed ones, one by one, and read its metrics.

python -m benchmarks.drift models:/mnist@champion [rounds]
"""

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

from benchmarks.servers import Server, start_app

LIMIT = 0.25  # of the alert in deploy/prometheus/alerts.yaml
USUAL, CHANGED, READ_EVERY = 2000, 500, 10  # requests
RAW = "application/octet-stream"

Images = np.ndarray


def shift(images: Images) -> Images:
    """Return images moved to the right by 4 pixels."""
    moved = np.zeros_like(images)
    moved[:, :, 4:] = images[:, :, :-4]
    return moved


CHANGES: dict[str, Callable[[Images], Images]] = {
    "inverted": lambda images: 255 - images,
    "moved to the right by 4 pixels": shift,
    "moved to the right by 1 pixel": lambda images: np.roll(images, 1, axis=2),
    "at half contrast": lambda images: images // 2,
    "upside down": lambda images: images[:, ::-1],
    "a tenth of the pixels white": lambda images: np.where(
        np.random.default_rng(0).random(images.shape) < 0.1, np.uint8(255), images
    ),
}


def main(model: str, rounds: str = "5") -> None:
    """Print the largest drift of unchanged images, and after how many changed images it exceeds the limit."""
    images = np.load("data/prepared/test/images.npy", mmap_mode="r")[..., 0]
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        server = start_app(model, Path(folder) / "app.log")
        try:
            connection = server.connect()
            print("| images | largest drift | of | above the limit after |\n|---|---:|---|---:|")
            for number in range(int(rounds)):
                report(f"unchanged, order {number}", server, connection, draw(images, USUAL, random), USUAL)
            for name, change in CHANGES.items():
                report(name, server, connection, change(draw(images, CHANGED, random)), CHANGED)
                for _ in ask(server, connection, draw(images, CHANGED, random)):  # the window forgets
                    pass
        finally:
            server.stop()


def draw(images: Images, count: int, random: np.random.Generator) -> Images:
    """Return `count` different images in random order."""
    return np.asarray(images[np.sort(random.choice(len(images), count, replace=False))])[random.permutation(count)]


def report(name: str, server: Server, connection: HTTPConnection, images: Images, most: int) -> None:
    """Send images; print the largest drift meanwhile, its statistic, and the request at which it exceeded the limit."""
    largest, of, exceeded = 0.0, "", ""
    for asked, drifts in ask(server, connection, images):
        for statistic, drift in drifts.items():
            if drift > largest:
                largest, of = drift, statistic
        if largest > LIMIT and not exceeded:
            exceeded = f"{asked} requests"
    print(f"| {name} | {largest:.3f} | {of} | {exceeded or f'not in {most:,}'} |", flush=True)


def ask(server: Server, connection: HTTPConnection, images: Images) -> Iterator[tuple[int, dict[str, float]]]:
    """Send images one by one; after every READ_EVERY, yield how many were sent, and the drift by statistic."""
    for number, image in enumerate(images, 1):
        server.post(connection, "/predict", np.ascontiguousarray(image).tobytes(), RAW)
        if number % READ_EVERY == 0:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            found = re.findall(r'^digits_drift{statistic="(\w+)"} (\S+)$', text, re.MULTILINE)
            yield number, {statistic: float(drift) for statistic, drift in found}


if __name__ == "__main__":
    main(*sys.argv[1:])

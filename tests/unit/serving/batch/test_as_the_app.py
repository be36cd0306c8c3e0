"""On random images with a fixed seed, the batch tool gives the app's answers, or refuses in the same words."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from pyarrow import parquet

from serving.batch.scoring import score
from serving.image_files import ALL_FORMATS, WEB_FORMATS, list_formats
from tests.helpers.batch_inputs import FORMS, open_source
from tests.helpers.client import PNG, RAW

IMAGES = 60
MODES = ("L", "LA", "RGB", "RGBA", "P", "1", "I;16", "CMYK")
ALL, WEB = map(list_formats, (ALL_FORMATS, WEB_FORMATS))
ORIENTATION = 0x0112  # in EXIF


def draw(random: np.random.Generator) -> tuple[str, bytes]:
    """Return a file's extension and content: strokes, noise or nothing, of any mode and size, complete or cut off."""
    height, width = (28, 28) if random.random() < 0.4 else random.integers(1, 70, 2)
    pixels = np.full((height, width), random.integers(256), np.uint8)
    for _ in range(random.integers(0, 4)):
        top, left = random.integers(height), random.integers(width)
        pixels[top : top + random.integers(1, 20), left : left + random.integers(1, 6)] = random.integers(256)
    if random.random() < 0.2:
        pixels ^= random.integers(0, 256, pixels.shape, np.uint8)
    mode = str(random.choice(MODES))
    deep = pixels.astype(np.uint16) * 257
    image = Image.fromarray(deep) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(random.integers(0, 256, pixels.shape, np.uint8)))
    is_jpeg = mode == "CMYK" or (mode in ("L", "RGB") and random.random() < 0.5)
    exif, file = Image.Exif(), io.BytesIO()
    if random.random() < 0.5:
        exif[ORIENTATION] = int(random.integers(0, 10))
    image.save(file, "JPEG" if is_jpeg else "PNG", exif=exif)
    content = file.getvalue()
    if random.random() < 0.15:
        content = content[: random.integers(len(content))]
    return str(random.choice([".jpg", ".png", ".JPEG"])), content  # the content decides, not the extension


def test_each_image_of_a_folder_is_answered_as_the_app_does(source, client, tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for number in range(IMAGES):
        ending, content = draw(random)
        (tmp_path / "in" / f"{number:03}{ending}").write_bytes(content)
    folder = open_source(tmp_path / "in")
    ((pixels, _),) = folder.chunks(0)
    score(folder, source.loaded.model, tmp_path / "out.parquet")
    refused = 0
    for image, row in zip(pixels, parquet.read_table(tmp_path / "out.parquet").to_pylist(), strict=True):
        answer = client.predict((tmp_path / "in" / row["path"]).read_bytes(), PNG)
        if answer.status == 200:
            (prediction,) = answer.json["predictions"]
            assert image.tobytes() == base64.b64decode(prediction["pixels"])
            assert (row["label"], row["error"]) == (prediction["label"], None)
            assert row["confidence"] == pytest.approx(prediction["confidence"], abs=1e-5)
        else:
            # The batch tool takes more formats than the app.
            assert (answer.status, answer.json["error"]) == (400, row["error"].replace(ALL, WEB))
            refused += 1
    assert IMAGES / 10 < refused < IMAGES * 2 / 3


@pytest.mark.parametrize("form", FORMS)
def test_each_row_of_a_file_is_answered_as_the_app_does(form, source, client, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), np.uint8)
    score(open_source(FORMS[form](tmp_path, images)), source.loaded.model, tmp_path / "out.parquet")
    predictions = client.predict(images.tobytes(), RAW).json["predictions"]
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert table["label"].tolist() == [prediction["label"] for prediction in predictions]
    assert table["confidence"].tolist() == pytest.approx([one["confidence"] for one in predictions], abs=1e-5)

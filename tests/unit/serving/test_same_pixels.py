"""A picture in any file format gives the same pixels in training, in the app and in the batch tool."""

import base64
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from serving.app.asgi import build_app
from serving.app.limits import Limits
from serving.batch.scoring import score
from serving.images import ALL_FORMATS, WEB_FORMATS, Form, prepare
from serving.model_source import ModelSource
from tests.helpers.batch_inputs import as_parquet, open_source
from tests.helpers.client import PNG, AsgiClient
from tests.helpers.models import save_model, write_artifacts
from tests.helpers.pictures import KINDS, drawing, landscape

FORMS = [
    Form(16, 24, 3, "stretch"), Form(16, 24, 1, "stretch"), Form(20, 12, 3, "crop"), Form(20, 12, 1, "crop"),
    Form(18, 18, 3, "pad"), Form(18, 18, 1, "pad"), Form(28, 28, 1, "ink"),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_each_kind_of_file_gives_the_same_pixels_everywhere(form, tmp_path: Path):
    source = ModelSource(str(save_model(tmp_path / "saved", write_artifacts(tmp_path, form, ["a", "b"]), form)))
    client = AsgiClient(build_app(source, Limits(threads=1), {"*"}))
    picture = drawing(1.5, (60, 50), (12, 6)).convert("RGB") if form.resize == "ink" else landscape()
    files = {name: store(picture) for name, store in KINDS.items()}
    trained = np.stack([prepare(file, form, ALL_FORMATS) for file in files.values()])

    (tmp_path / "in").mkdir()
    for number, file in enumerate(files.values()):
        (tmp_path / "in" / f"{number:02}.png").write_bytes(file)  # the content decides, not the extension
    table = as_parquet(tmp_path / "in.parquet", {"image": [{"bytes": file, "path": None} for file in files.values()]})
    for given in (tmp_path / "in", table):
        opened = open_source(given, source.loaded.form, source.loaded.model.max_images)
        ((pixels, faults),) = opened.chunks(0)
        assert faults == [None] * len(files)
        assert (pixels == trained).all()
    score(opened, source.loaded.model, tmp_path / "out.parquet")
    answers = parquet.read_table(tmp_path / "out.parquet").to_pylist()

    for (name, file), pixels, row in zip(files.items(), trained, answers, strict=True):
        answer = client.predict(file, PNG)
        if not name.upper().startswith(WEB_FORMATS):
            assert (answer.status, "PNG, JPEG or WebP is expected" in answer.json["error"]) == (400, True)
            continue
        assert answer.status == 200, (name, answer.body)
        (prediction,) = answer.json["predictions"]
        assert base64.b64decode(prediction["pixels"]) == pixels.tobytes(), name
        assert row["label"] == prediction["label"]
        assert row["confidence"] == pytest.approx(prediction["confidence"], abs=1e-5)

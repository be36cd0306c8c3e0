"""Count on how many test pictures each way to run a model gives another class than `reports/` has.

`python -m benchmarks.same_answers PRESET FOLDER`: run it in a project whose champion is PRESET, trained on pictures;
FOLDER holds their files, under the paths of data/prepared/sources.csv. The ways are the app's /predict, the batch tool
on the test pictures as files and as Parquet in Hugging Face's form, and both LiteRT files on the prepared test images.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow
from pyarrow import parquet

from benchmarks.servers import Server, start_app
from pipeline.data.pixels import as_raw
from pipeline.data.prepared import load_split
from pipeline.evaluation.tables import read_predictions
from pipeline.files import read_json
from pipeline.inference import predict_litert
from pipeline.paths import Workspace
from serving.environment import default_model

FILES_PER_REQUEST = 20
BOUNDARY = "----------pictures"


def main(preset: str, folder: str) -> None:
    """Print a line for each way."""
    workspace = Workspace()
    sources = pd.read_csv(workspace.prepared / "sources.csv", keep_default_na=False)
    expected = read_predictions(workspace.report(preset) / "predictions.csv").query("split == 'test'")
    files = [Path(folder) / path for path in sources["path"].iloc[expected["image"]]]
    labels = expected["answer"].to_numpy()

    def report(way: str, answers: np.ndarray) -> None:
        print(f"{way:<34} {int((answers != labels).sum())} of {len(labels):,} differ", flush=True)

    with TemporaryDirectory() as scratch:
        report("/predict", ask_app(files, Path(scratch) / "app.log"))
        report("batch, folder", score_folder(files, Path(scratch)))
        report("batch, Parquet", score_parquet(files, Path(scratch)))
    names, pixels = read_json(workspace.dataset)["class_names"], as_raw(load_split(workspace.prepared, "test").pixels)
    for name in ("model.tflite", "model_int8.tflite"):
        probabilities = predict_litert(workspace.model(preset) / name, pixels)
        report(name, np.array(names, object)[probabilities.argmax(axis=1)])


def ask_app(files: list[Path], log: Path) -> np.ndarray:
    """Return the labels that the app answers; each request has FILES_PER_REQUEST files."""
    server, labels = start_app(default_model(), log), []
    try:
        connection = server.connect()
        for start in range(0, len(files), FILES_PER_REQUEST):
            body = b"".join(
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="f"; filename="{file.name}"\r\n\r\n'.encode()
                + file.read_bytes()
                + b"\r\n"
                for file in files[start : start + FILES_PER_REQUEST]
            )
            kind = f"multipart/form-data; boundary={BOUNDARY}"
            answer = Server.post(connection, "/predict", body + f"--{BOUNDARY}--\r\n".encode(), kind)
            labels += [prediction["label"] for prediction in json.loads(answer)["predictions"]]
    finally:
        server.stop()
    return np.array(labels, object)


def score_folder(files: list[Path], scratch: Path) -> np.ndarray:
    """Return the labels that the batch tool gives copies of the files in a folder; the copies' names keep the order."""
    (scratch / "pictures").mkdir()
    for number, file in enumerate(files):
        shutil.copyfile(file, scratch / "pictures" / f"{number:08}{file.suffix}")
    return score(scratch / "pictures", scratch)


def score_parquet(files: list[Path], scratch: Path) -> np.ndarray:
    """Return the labels that the batch tool gives the files in one Parquet file."""
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in files]
    parquet.write_table(pyarrow.table({"image": images}), scratch / "pictures.parquet")
    return score(scratch / "pictures.parquet", scratch)


def score(source: Path, scratch: Path) -> np.ndarray:
    """Return the column `label` of the batch tool's answers."""
    output = scratch / "answers.parquet"
    subprocess.run((sys.executable, "-m", "serving.batch", str(source), str(output)), check=True, capture_output=True)
    return np.array(parquet.read_table(output)["label"].to_pylist(), object)


if __name__ == "__main__":
    main(*sys.argv[1:])

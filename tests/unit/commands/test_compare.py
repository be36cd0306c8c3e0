import json
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline.cli import UserError
from pipeline.commands import compare
from pipeline.paths import Workspace
from tests.helpers.params import PARAMS

TEST_IMAGES, VAL_IMAGES = 200, 100


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """Three models: the champion cnn_fast; cnn_2m, which is hardly worse; and dense_10, which is much worse."""
    models = "presets: [dense_10, cnn_2m, cnn_fast]"
    given = next(line for line in PARAMS.splitlines() if line.startswith("presets:"))
    (tmp_path / "params.yaml").write_text(PARAMS.replace(given, models))
    monkeypatch.chdir(tmp_path)
    write_model("dense_10", parameters=7_960, val_wrong=range(30), test_wrong=range(20))
    write_model("cnn_2m", parameters=2_174_442, val_wrong=range(5), test_wrong=range(3, 8))
    write_model("cnn_fast", parameters=81_578, val_wrong=range(2), test_wrong=range(4))
    write_registry()
    champion_is(monkeypatch, "cnn_fast")
    return tmp_path


def write_registry() -> None:
    """The file that `register` leaves behind, with the name of the models' data set."""
    Path("registry").mkdir(exist_ok=True)
    Path("registry/registry.json").write_text('{"name": "digits", "models": {}}')


class Store:
    """MLflow's registry with one champion, version 3."""

    def __init__(self, model: str | None, network: bytes = b""):
        self.model, self.network = model, network

    def aliases(self) -> dict[str, str]:
        return {"champion": "3"} if self.model else {}

    def version(self, number: str):
        assert number == "3"
        return SimpleNamespace(tags={"model": self.model, "onnx_sha256": sha256(self.network).hexdigest()})


def champion_is(monkeypatch, model: str | None, network: bytes | None = None) -> None:
    """Make MLflow's champion the model of that name here, or a model with other weights."""
    store = Store(
        model, Path(f"models/{model}/model.onnx").read_bytes() if model and network is None else network or b""
    )
    monkeypatch.setattr(compare, "connect_existing", lambda name: {"digits": store}[name])


def write_model(name: str, parameters: int, val_wrong: range, test_wrong: range, **more: float) -> None:
    report, model = Path("reports") / name, Path("models") / name
    report.mkdir(parents=True, exist_ok=True)
    model.mkdir(parents=True, exist_ok=True)
    tables = []
    for split, count, wrong in (("val", VAL_IMAGES, val_wrong), ("test", TEST_IMAGES, test_wrong)):
        label = np.arange(count) % 10
        answer = np.where(np.isin(np.arange(count), wrong), (label + 1) % 10, label)
        tables.append(pd.DataFrame({"split": split, "image": np.arange(count), "label": label, "answer": answer}))
    pd.concat(tables).to_csv(report / "predictions.csv", index=False)
    metrics = {"parameters": parameters, "val_accuracy": 1 - len(val_wrong) / VAL_IMAGES, **more}
    (report / "metrics.json").write_text(json.dumps(metrics))
    (model / "model.onnx").write_bytes(name.encode().ljust(1_250_000))
    (model / "receipt.json").write_text(json.dumps({"epochs": [{"seconds": 40.2}, {"seconds": 30.1}]}))


def lines(capsys) -> list[str]:
    compare.main()
    return capsys.readouterr().out.splitlines()


def test_models_stand_side_by_side_best_on_validation_first(reports, capsys):
    heading, *rows = lines(capsys)[:4]
    assert [row.split()[0] for row in rows] == ["cnn_fast", "cnn_2m", "dense_10"]
    # 2 of 100 and 4 of 200 are wrong; the intervals are computed with Wilson's formula.
    for cell in ("98.00 % (93.00…99.45)", "98.00 % (94.97…99.22)", "81,578", "1.25 MB", "70 s"):
        assert cell in rows[0]
    assert heading.split() == [
        "model", "validation", "(95", "%)", "test", "(95", "%)", "parameters", "model.onnx", "training", "test,", "to",
        "the", "champion",
    ]  # fmt: skip
    # Figures are aligned with the right end of their heading.
    for title, cells in {"training": ["70 s"] * 3, "parameters": ["81,578", "2,174,442", "7,960"]}.items():
        end = heading.index(title) + len(title)
        assert [row[:end].endswith(cell) for row, cell in zip(rows, cells, strict=True)] == [True] * 3


def test_accuracy_under_corruptions_is_a_column_where_it_is_measured(reports, capsys):
    write_model("cnn_fast", 81_578, range(2), range(4), corrupted_accuracy=0.7654)
    heading, *rows = lines(capsys)[:4]
    end = heading.index("corrupted") + len("corrupted")
    assert [row[:end].split()[-1] for row in rows] == ["%", "–", "–"]
    assert "76.54 %" in rows[0]


def test_the_difference_to_the_champion_is_tested_on_the_same_images(reports, capsys):
    shown = lines(capsys)
    champion, small, large = (row.rstrip() for row in shown[1:4])
    assert champion.endswith("s  champion")
    # Image 3 is wrong in both; 3 are wrong only in the champion, 4 only in cnn_2m: the tails of 7 coin tosses.
    assert small.endswith("s  -0.50 points, p 1, not significant")
    # Images 0 … 3 are wrong in both, 4 … 19 only in dense_10: 2 / 2^16.
    assert large.endswith("s  -8.00 points, p < 0.0001, significant")
    summary = " ".join(shown[5:])
    for part in (
        "100 validation images",
        "cnn_fast (version 3)",
        "McNemar",
        "200 test images",
        "alpha 0.05",
        "(Holm; comparisons: 2)",
    ):
        assert part in summary


@pytest.mark.parametrize(("alone", "verdict"), [(5, "p 0.062, not significant"), (6, "p 0.031, significant")])
def test_significant_is_below_alpha(reports, capsys, alone, verdict):
    write_model("cnn_2m", 1, range(5), range(4 + alone))
    assert lines(capsys)[2].endswith(verdict)


def test_p_is_corrected_for_the_number_of_models_in_the_table(reports, capsys):
    """6 images are wrong in one model only: p is 0.031 for one comparison, and twice that for two equal comparisons."""
    for name in ("cnn_2m", "dense_10"):
        write_model(name, 1, range(5), range(10))
    assert [line.endswith("-3.00 points, p 0.062, not significant") for line in lines(capsys)[1:4]] == [
        False,
        True,
        True,
    ]


def test_images_are_matched_by_their_number_and_not_by_their_row(reports, capsys):
    expected = lines(capsys)
    path = Path("reports/cnn_2m/predictions.csv")
    pd.read_csv(path)[::-1].to_csv(path, index=False)
    assert lines(capsys) == expected


def test_reports_of_different_images_are_not_compared(reports):
    path = Path("reports/cnn_2m/predictions.csv")
    table = pd.read_csv(path)
    table[:-1].to_csv(path, index=False)
    with pytest.raises(UserError, match=r"reports/cnn_2m and reports/cnn_fast are of different test images.*dvc repro"):
        compare.main()
    table["label"] = (table["label"] + 1) % 10
    table.to_csv(path, index=False)
    with pytest.raises(UserError, match="different test images"):
        compare.main()


def test_without_a_champion_nothing_is_tested(reports, capsys, monkeypatch):
    champion_is(monkeypatch, None)
    shown = lines(capsys)
    assert [row.split()[0] for row in shown[1:4]] == ["cnn_fast", "cnn_2m", "dense_10"]
    assert not [line for line in shown[:4] if "champion" in line or "significant" in line]
    assert shown[-2].startswith("Nothing was tested: digits has no champion: `make run` lets the gate decide")


def test_without_a_store_the_models_are_shown_and_what_helps(reports, capsys, monkeypatch):
    def fail(name: str) -> None:
        raise UserError("there is no MLflow store: run `make run`")

    monkeypatch.setattr(compare, "connect_existing", fail)
    assert lines(capsys)[-2] == "Nothing was tested: there is no MLflow store: run `make run`"


def test_the_champion_is_mlflows_and_may_change_without_a_new_run(reports, capsys, monkeypatch):
    champion_is(monkeypatch, "cnn_2m")
    shown = lines(capsys)
    assert shown[2].endswith("s  champion")
    assert "cnn_2m (version 3)" in " ".join(shown[5:])


def test_another_workspace_gives_the_same_table(reports, capsys, monkeypatch, tmp_path_factory):
    expected = lines(capsys)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    compare.main(Workspace(reports))
    assert capsys.readouterr().out.splitlines() == expected


def test_a_table_aligns_text_to_the_left_and_figures_to_the_right():
    rows = [{"model": "a", "n": "100"}, {"model": "long", "n": "1", "x": "22"}]
    assert compare.format_table(rows).splitlines() == ["model    n   x", "a      100   –", "long     1  22"]


@pytest.mark.parametrize(("p", "text"), [(1e-4, "p 0.0001"), (0.99e-4, "p < 0.0001"), (0.0012, "p 0.0012")])
def test_small_p_values_are_all_shown_alike(p, text):
    assert compare.format_differences({"cnn_2m": (-0.005, p)}) == {"cnn_2m": f"-0.50 points, {text}, significant"}


def test_a_champion_that_is_not_compared_is_shown_too(reports, capsys):
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("presets: [dense_10, cnn_2m, cnn_fast]", "presets: [cnn_2m]"))
    assert [row.split()[0] for row in lines(capsys)[1:3]] == ["cnn_fast", "cnn_2m"]


@pytest.mark.parametrize("model", ["cnn_fast", "cnn_best"])
def test_nothing_is_tested_against_a_champion_of_another_run(reports, capsys, monkeypatch, model):
    """The version has the name of a model here, but other weights, so these answers aren't its answers."""
    champion_is(monkeypatch, model, b"other weights")
    shown = lines(capsys)
    assert not [line for line in shown[:4] if "champion" in line or "significant" in line]
    assert f"Nothing was tested: the champion, {model} (version 3)" in shown[-2]


@pytest.mark.parametrize(
    "path",
    [
        "reports/cnn_2m/metrics.json",
        "reports/cnn_2m/predictions.csv",
        "models/cnn_2m/receipt.json",
        "models/cnn_2m/model.onnx",
    ],
)
def test_a_missing_file_is_reported_with_what_makes_it(reports, path):
    Path(path).unlink()
    with pytest.raises(UserError, match=f"{path} is missing: run `dvc repro`"):
        compare.main()


def test_repeated_trainings_show_mean_deviation_and_number(reports, capsys):
    spread = {
        "val_accuracy_mean": 0.9712, "val_accuracy_deviation": 0.0034, "test_accuracy_mean": 0.9698,
        "test_accuracy_deviation": 0.00412, "seeds_per_model": 3,
    }  # fmt: skip
    assert "seeds" not in lines(capsys)[0]
    write_model("cnn_fast", 81_578, range(2), range(4), **spread)
    heading, repeated, once, _ = lines(capsys)[:4]
    assert "validation, seeds" in heading
    assert "97.12 ± 0.34 (3)" in repeated
    assert "96.98 ± 0.41 (3)" in repeated
    assert once.count("–") == 2  # trained once: a dash, rather than a deviation of 0

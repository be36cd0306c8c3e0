"""Measure the exported model in models/<model>/ on validation and test images; write reports/<model>/.

ONNX Runtime runs the file that is served, LiteRT the files for phones. No other stage reads the test split.
"""

from functools import partial

from pipeline.cli import run
from pipeline.config.params import load
from pipeline.data.prepared import load_split
from pipeline.files import publish, read_json, sha256_of
from pipeline.guard import StageGuard
from pipeline.inference import open_onnx, predict_onnx
from pipeline.paths import Workspace


def main(name: str, workspace: Workspace = Workspace()) -> None:
    """Evaluate the model `name`."""
    guard = StageGuard("evaluate", workspace, name)
    load(workspace.params).model(name)

    from pipeline.evaluation import report, robustness
    from pipeline.evaluation.tables import read_table
    from serving.layers import NetworkLayers

    model = workspace.model(name)
    sessions = [open_onnx(path) for path in report.exported_paths(model)]
    answers = {
        split: report.answer(sessions, model, load_split(workspace.prepared, split)) for split in ("val", "test")
    }
    metrics = report.compute_metrics(sessions[0].get_modelmeta().custom_metadata_map, answers)
    history, dataset, test = read_table(model / "history.csv"), read_json(workspace.dataset), answers["test"]
    inside = NetworkLayers((model / "model.onnx").read_bytes())
    conditions = robustness.measure(partial(predict_onnx, sessions[0]), test.split, test.published, dataset)
    metrics |= robustness.summarise(conditions)
    with publish(workspace.report(name), guard.check) as folder:
        report.write_report(folder, metrics, answers, history, dataset, inside)
        conditions.to_csv(folder / "robustness.csv", index=False, float_format="%.10g")
        (folder / "model.sha256").write_text(sha256_of(model / "model.onnx") + "\n")
    print(f"{name}  val_accuracy {metrics['val_accuracy']:.4f}  test_accuracy {metrics['test_accuracy']:.4f}")


if __name__ == "__main__":
    run(main, "model")

"""MLflow's UI in a real browser: what a user sees when comparing two runs."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from urllib.parse import quote

import mlflow
import pytest

from pipeline.commands.ui import page, share_view
from tests.helpers.server import launched

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: apt-get install chromium")


@pytest.fixture(scope="module")
def browse(project, tmp_path_factory) -> Iterator[Callable[[str], str]]:
    """A function that returns a page of `mlflow ui`, on the shrunken pipeline's store, as its scripts have built it."""
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # as the Makefile does
    environment = project.environment | quiet
    with launched(("mlflow", "ui", "--workers", "1"), project.folder, environment, ready="/health") as server:
        yield lambda page: rendered(f"{server.address}/{page}", tmp_path_factory.mktemp("chromium"))


def rendered(address: str, profile) -> str:
    """The page's HTML once no request is running; the browser's clock stops while it waits for the server."""
    quiet = ("quic", "background-networking", "component-update", "sync", "gpu")
    options = (
        "--headless",
        "--no-sandbox",
        "--no-first-run",
        "--window-size=2400,1200",
        *(f"--disable-{what}" for what in quiet),
    )
    command = (CHROMIUM, *options, f"--user-data-dir={profile}", "--virtual-time-budget=30000", "--dump-dom", address)
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True).stdout


def row(page: str, label: str) -> list[str]:
    """The cells of the table row that `label` heads."""
    (found,) = re.findall(rf"<tr[^>]*><th[^>]*>{re.escape(label)}</th>(.*?)</tr>", page)
    return [html.unescape(re.sub(r"<[^>]+>", "", cell)) for cell in re.findall(r"<td.*?</td>", found)]


def test_two_runs_compared_show_names_parameters_and_learning_curves(project, browse):
    registered = project.registered()
    runs = [registered[name].run_id for name in ("dense_10", "tiny_cnn")]
    mlflow.set_tracking_uri(f"sqlite:///{project.folder}/mlflow.db")
    experiment = mlflow.get_experiment_by_name("digits").experiment_id
    which = f"runs={quote(json.dumps(runs))}&experiments={quote(json.dumps([experiment]))}"

    compared = browse(f"#/compare-runs?{which}&numRuns=2")
    assert row(compared, "Run Name:") == ["dense_10", "tiny_cnn"]
    assert row(compared, "optimizer") == ["SGD", "Adam"]
    assert row(compared, "batch_size") == ["32", "32"]
    assert compared.count("val_accuracy") > 2

    # The name of a metric in the table is a link to its curves.
    links = {html.unescape(link) for link in re.findall(r'href="([^"]*#/metric\?[^"]*)"', compared)}
    (link,) = [link for link in links if "metric=%22epoch%2Fval_accuracy%22" in link]
    curves = browse(link[link.index("#") :])
    # Each curve is drawn twice: smoothed, and faintly without smoothing; plotly leaves out points on a straight line.
    drawn = set(re.findall(r'<path class="js-line"[^>]* d="M([^"]+)"', curves))
    assert len(drawn) == 2
    assert all("L" in curve for curve in drawn)
    assert set(re.findall(r">(\w+) \(epoch/val_accuracy\)<", curves)) == {"dense_10", "tiny_cnn"}


def test_the_runs_page_has_the_best_run_first_with_its_figures_and_a_version_says_what_it_is(project, browse):
    client = mlflow.MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("digits")
    runs = browse(page(experiment, share_view(client, experiment)))
    titles = set(re.findall(r'col-id="([^"]+)"', runs))
    assert {"metrics.`val_accuracy`", "metrics.`test_accuracy`", "params.`epochs`"} <= {t.strip("$") for t in titles}
    best = max(client.search_runs([experiment.experiment_id]), key=lambda run: run.data.metrics["val_accuracy"])
    names = re.findall(r">(dense_10|tiny_cnn)<", runs)
    assert names[0] == best.info.run_name

    version = client.get_model_version_by_alias("digits", "champion")
    text = html.unescape(re.sub(r"<[^>]+>", " ", browse(f"#/models/digits/versions/{version.version}")))
    assert f"{best.info.run_name}: a network of the family" in text
    assert "Promoted to champion" in text

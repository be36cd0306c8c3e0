"""The alerts and the dashboard's queries, checked and tried with Prometheus' own tool."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.deployment import DEPLOY, read_expressions

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="no promtool: apt-get install prometheus")


def promtool(*arguments: str, folder: Path = DEPLOY / "prometheus") -> subprocess.CompletedProcess[str]:
    return subprocess.run((PROMTOOL, *arguments), cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yaml"), ("check", "rules", "alerts.yaml"), ("test", "rules", "alerts_test.yaml")],
    ids=" ".join,
)
def test_prometheus_reads_the_files_and_the_alerts_go_off_when_they_should(arguments):
    done = promtool(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_alert_with_another_limit_does_not_pass(tmp_path):
    for path in (DEPLOY / "prometheus").glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text().replace("> 0.25", "> 0.5"))
    assert promtool("test", "rules", "alerts_test.yaml", folder=tmp_path).returncode != 0


def test_prometheus_reads_each_query_of_the_dashboard(tmp_path):
    queries = [expression.replace("$__rate_interval", "5m") for expression in read_expressions()]
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.json").write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    done = promtool("check", "rules", "rules.json", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

"""The files of deploy/."""

import json
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.helpers.project import SOURCE

DEPLOY = SOURCE / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))


def read_documents(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a YAML file."""
    return list(YAML(typ="safe").load_all(path.read_text()))


def read_manifest(kind: str, file: str) -> dict[str, Any]:
    """Return the one manifest of a kind in a file of deploy/kubernetes."""
    (found,) = (each for each in read_documents(DEPLOY / "kubernetes" / file) if each["kind"] == kind)
    return found


def read_expressions() -> list[str]:
    """Return the PromQL of the alerts and of the dashboard's panels."""
    (rules,) = read_documents(DEPLOY / "prometheus" / "alerts.yaml")
    dashboard = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    return alerts + [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]

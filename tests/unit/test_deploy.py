"""The files of deploy/ and the code agree on names, paths, options and figures."""

import re
from copy import deepcopy

import pytest

from pipeline.tracking.lock import SETTING
from serving.app.options import parse_options
from serving.app.server import SHUTDOWN_TIMEOUT_S, allowed_hosts
from serving.model_source import REGISTERED
from tests.helpers.deployment import MANIFESTS, read_documents, read_manifest
from tests.helpers.project import SOURCE
from tests.helpers.routes import list_paths

PODS = {
    file: read_manifest(kind, file)["spec"]
    for kind, file in (
        ("Deployment", "deployment.yaml"),
        ("Deployment", "canary.yaml"),
        ("CronJob", "promoter.yaml"),
        ("Job", "train-job.yaml"),
    )
}
POD_SPECS = {
    file: (spec if "template" in spec else spec["jobTemplate"]["spec"])["template"]["spec"]
    for file, spec in PODS.items()
}
SERVERS = ("deployment.yaml", "canary.yaml")


@pytest.mark.parametrize("file", SERVERS)
def test_the_container_is_started_with_options_that_the_app_has(file):
    (container,) = POD_SPECS[file]["containers"]
    options = parse_options(container["args"])
    assert {"digits", "digits.example.com"} <= allowed_hosts(options)
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert REGISTERED.fullmatch(environment["MODEL"])


@pytest.mark.parametrize("file", SERVERS)
def test_probes_ask_routes_that_the_app_has_and_that_answer_by_any_name(file):
    (container,) = POD_SPECS[file]["containers"]
    paths = {kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/healthz", "readiness": "/readyz", "liveness": "/healthz"}
    annotations = PODS[file]["template"]["metadata"]["annotations"]
    assert {*paths.values(), annotations["prometheus.io/path"]} <= set(list_paths())
    assert annotations["prometheus.io/port"] == str(container["ports"][0]["containerPort"])


@pytest.mark.parametrize("file", SERVERS)
def test_requests_in_flight_have_the_time_to_end(file):
    (container,) = POD_SPECS[file]["containers"]
    sleep_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD_SPECS[file]["terminationGracePeriodSeconds"] > SHUTDOWN_TIMEOUT_S + sleep_s


@pytest.mark.parametrize("file", POD_SPECS)
def test_a_container_can_do_nothing_that_it_does_not_need(file):
    pod = POD_SPECS[file]
    (container,) = pod["containers"]
    user = re.search(r"^USER (\d+):(\d+)$", (SOURCE / "Dockerfile").read_text(), re.MULTILINE)
    assert (pod["securityContext"]["runAsUser"], pod["securityContext"]["runAsGroup"]) == tuple(map(int, user.groups()))
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert {"requests", "limits"} <= container["resources"].keys()


def test_the_canary_is_the_deployment_but_for_its_name_and_its_version():
    canary, stable = (deepcopy(read_manifest("Deployment", file)) for file in ("canary.yaml", "deployment.yaml"))
    assert canary["metadata"].pop("name") != stable["metadata"].pop("name")
    assert canary["spec"].pop("replicas") == 1
    models = []
    for manifest, track in ((canary, "canary"), (stable, "stable")):
        assert manifest["spec"]["selector"]["matchLabels"].pop("track") == track
        assert manifest["spec"]["template"]["metadata"]["labels"].pop("track") == track
        models.append(manifest["spec"]["template"]["spec"]["containers"][0]["env"].pop(0))
    assert canary == stable
    assert models[0]["name"] == models[1]["name"] == "MODEL"
    assert models[0] != models[1]


def test_the_service_the_autoscaler_and_the_budget_mean_the_deployment():
    name = read_manifest("Deployment", "deployment.yaml")["metadata"]["name"]
    selector = read_manifest("Service", "service.yaml")["spec"]["selector"]
    budget = read_manifest("PodDisruptionBudget", "autoscaling.yaml")["spec"]["selector"]["matchLabels"]
    for file in SERVERS:
        labels = PODS[file]["template"]["metadata"]["labels"].items()
        assert selector.items() <= labels
        assert budget.items() <= labels
    assert read_manifest("HorizontalPodAutoscaler", "autoscaling.yaml")["spec"]["scaleTargetRef"]["name"] == name


def test_one_promoter_runs_at_a_time():
    assert read_manifest("CronJob", "promoter.yaml")["spec"]["concurrencyPolicy"] == "Forbid"


def test_the_promoter_has_the_lock_without_which_it_may_not_change_a_servers_registry():
    (container,) = POD_SPECS["promoter.yaml"]["containers"]
    assert "MLFLOW_TRACKING_URI" in {entry["name"] for entry in container["env"]}
    assert container["envFrom"] == [{"secretRef": {"name": "digits-promoter"}}]
    guide = (SOURCE / "docs/cluster.md").read_text()
    (secret,) = re.findall(r"kubectl create secret generic digits-promoter (.*?)```", guide, re.DOTALL)
    assert f"--from-literal={SETTING}=postgresql://" in secret
    assert "psycopg" in (SOURCE / "deploy/pipeline.Dockerfile").read_text()


def test_each_manifest_is_of_one_of_the_kinds_that_are_checked_here():
    assert {document["kind"] for path in MANIFESTS for document in read_documents(path)} == {
        "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "CronJob", "Job"
    }  # fmt: skip

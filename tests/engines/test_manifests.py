"""The manifests are checked with Kubernetes' own schemas: a cluster would ignore a misspelt key, or refuse it late."""

from copy import deepcopy
from typing import Any

import pytest

from tests.helpers.deployment import MANIFESTS, read_documents, read_manifest

kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="not installed: `make test-engines` does it")


def validate(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.37", strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_each_manifest_is_valid(path):
    for manifest in read_documents(path):
        validate(manifest)


@pytest.mark.parametrize(
    ("kind", "file", "place", "misspelt"),
    [
        (
            "Deployment",
            "deployment.yaml",
            ["spec", "template", "spec", "containers", 0, "readinessProbe"],
            "readynessProbe",
        ),
        ("Deployment", "canary.yaml", ["spec", "template", "spec", "securityContext", "runAsNonRoot"], "runAsNonroot"),
        ("Service", "service.yaml", ["spec", "ports", 0, "targetPort"], "target_port"),
        ("HorizontalPodAutoscaler", "autoscaling.yaml", ["spec", "minReplicas"], "minimumReplicas"),
        ("PodDisruptionBudget", "autoscaling.yaml", ["spec", "maxUnavailable"], "maxUnavailble"),
        ("CronJob", "promoter.yaml", ["spec", "concurrencyPolicy"], "concurrency"),
    ],
)
def test_a_misspelt_key_is_found(kind, file, place, misspelt):
    manifest = deepcopy(read_manifest(kind, file))
    section: Any = manifest
    for step in place[:-1]:
        section = section[step]
    section[misspelt] = section.pop(place[-1])
    with pytest.raises(kubernetes_validate.ValidationError, match=misspelt):
        validate(manifest)


def test_a_value_of_another_type_is_found():
    manifest = deepcopy(read_manifest("Deployment", "canary.yaml"))
    manifest["spec"]["replicas"] = "one"
    with pytest.raises(kubernetes_validate.ValidationError, match="one"):
        validate(manifest)

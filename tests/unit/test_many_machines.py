"""What deploy/ says of the trainings on many machines against params.yaml, whose presets are numbered there."""

import re

from ruamel.yaml import YAML

from pipeline.config.params import load
from tests.helpers.project import SOURCE


def test_there_is_a_worker_for_each_preset():
    presets = load(SOURCE / "params.yaml").presets
    job = YAML(typ="safe").load(SOURCE / "deploy/kubernetes/train-job.yaml")["spec"]
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"] == len(presets)
    batch = (SOURCE / "deploy/slurm/train.sbatch").read_text()
    assert re.findall(r"^#SBATCH --array=(.*)$", batch, re.MULTILINE) == [f"0-{len(presets) - 1}"]


def test_a_worker_has_the_processors_that_a_training_uses():
    threads = load(SOURCE / "params.yaml").threads
    job = YAML(typ="safe").load(SOURCE / "deploy/kubernetes/train-job.yaml")["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == str(threads)
    assert f"#SBATCH --cpus-per-task={threads}\n" in (SOURCE / "deploy/slurm/train.sbatch").read_text()

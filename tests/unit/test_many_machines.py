"""What deploy/ says about training on many machines agrees with params.yaml, whose presets are numbered there."""

import re

from ruamel.yaml import YAML

from pipeline.config.params import load
from tests.helpers.project import SOURCE


def test_there_is_a_worker_for_each_preset():
    presets = load(SOURCE / "params.yaml").presets
    job = YAML(typ="safe").load(SOURCE / "deploy/kubernetes/train-job.yaml")["spec"]
    assert job["completionMode"] == "Indexed"
    number = len(presets)
    numbers = (job["completions"], job["parallelism"])
    advice = f"deploy/kubernetes/train-job.yaml: completions and parallelism are {number}, as many as presets"
    assert numbers == (number, number), advice
    batch = (SOURCE / "deploy/slurm/train.sbatch").read_text()
    found = re.findall(r"^#SBATCH --array=(.*)$", batch, re.MULTILINE)
    assert found == [f"0-{number - 1}"], f"deploy/slurm/train.sbatch: --array is 0-{number - 1}, the numbers of presets"


def test_a_worker_has_the_processors_that_a_training_uses():
    threads = load(SOURCE / "params.yaml").threads
    job = YAML(typ="safe").load(SOURCE / "deploy/kubernetes/train-job.yaml")["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["cpu"] == str(threads)
    assert f"#SBATCH --cpus-per-task={threads}\n" in (SOURCE / "deploy/slurm/train.sbatch").read_text()

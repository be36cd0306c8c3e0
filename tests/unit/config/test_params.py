import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.cli import UserError
from pipeline.config.params import load
from tests.helpers.params import PARAMS
from tests.helpers.stated import FORM, read_stated_accuracies

DESIGNED_PRESETS = {"perceptron", "dense_10", "dense_512", "dense_784_800", "cnn_2m", "cnn_fast"}
SEED_LINE = PARAMS.splitlines().index("seed: 0") + 1


def load_text(folder: Path, text: str):
    path = folder / "params.yaml"
    path.write_text(text)
    return load(path)


def test_the_projects_own_parameters_are_valid():
    assert load(Path("params.yaml")).presets


def test_the_presets_of_the_design_are_there():
    params = load()
    assert params.models.keys() >= DESIGNED_PRESETS | {"cnn_accurate", "cnn_best", "cnn_tiny", "dense_best"}
    assert set(params.presets) >= DESIGNED_PRESETS | {"cnn_accurate"}


def test_each_preset_states_the_accuracy_that_make_test_presets_compares():
    stated = read_stated_accuracies(Path("params.yaml").read_text())
    missing = sorted(set(load().presets) - stated.keys())
    assert not missing, f"params.yaml: among the comments right above each of {missing}, write `{FORM}`"


def test_parameters_cannot_be_changed_after_loading():
    with pytest.raises(ValidationError):
        load().seed = 1


@pytest.mark.parametrize(
    ("old", "new", "messages"),
    [
        ("seed: 0", "seed: '0'", ["seed", "valid integer", "'0'"]),
        ("seed: 0", "sede: 0", ["unknown key 'sede'", "did you mean 'seed'"]),
        ("seed: 0", "seed: 0\nseed: 1", ["line", "duplicate key"]),
        ("seed: 0", "seed: [0", ["line"]),
        ("seed: 0", "seed:0", [f"line {SEED_LINE}, column 1", "write key: value, with a space after the colon"]),
        ("seed: 0", "\tseed: 0", [f"line {SEED_LINE}, column 1", "indent with spaces instead of tabs"]),
        ("seed: 0", "seed: 0\nwriters: 1", ["writers", "valid boolean"]),
        (
            "dataset: mnist",
            "dataset: kmnist\nwriters: true",
            ["writers: ", "kmnist", "only those of mnist", "group_column"],
        ),
        ("seeds_per_model: 1", "seeds_per_model: 0", ["seeds_per_model", "greater than 0"]),
        ("epochs: 5", "epochs: -5", ["models.dense_512.epochs", "greater than 0", "-5"]),
        ("epochs: 5", "epochs: true", ["models.dense_512.epochs", "valid integer"]),
        ("epochs: 5", "epoch: 5", ["models.dense_512", "unknown key 'epoch'", "did you mean 'epochs'", "batch_size"]),
        ("batch_size: 128", "batch_size: 0", ["models.dense_512.batch_size", "greater than 0"]),
        ("optimizer: RMSprop", "optimizer: RMSprob", ["models.dense_512.optimizer", "'RMSprob'", "Adadelta", "SGD"]),
        ("optimizer: RMSprop", "optimizer: {name: RMSprop, momntum: 1}", ["momntum", "did you mean 'momentum'"]),
        ("optimizer: RMSprop", "optimizer: {name: SGD, learning_rate: -1}", ["learning_rate", "a number above 0"]),
        ("optimizer: RMSprop", "optimizer: {name: SGD, learning_rate: fast}", ["learning_rate", "'fast'", "a number"]),
        ("optimizer: RMSprop", "optimizer: {name: SGD, momentum: [1]}", ["momentum", "[1]", "a number"]),
        ("optimizer: RMSprop", "optimizer: {name: SGD, momentum: null}", ["momentum", "None", "a number"]),
        ("optimizer: RMSprop", "optimizer: {name: SGD, momentum: .inf}", ["momentum", "inf", "a number"]),
        ("optimizer: RMSprop", "optimizer: {name: SGD, nesterov: 1}", ["nesterov", "true or false"]),
        ("optimizer: RMSprop", "optimizer: {name: SGD, gradient_accumulation_steps: 2.5}", ["2.5", "whole number"]),
        ("{units: 512}", "{units: 512, kernel_initializer: {name: variance_scaling, mode: in}}", ["fan_in, fan_out"]),
        ("learning_rate: 0.01\n", "learning_rate: .inf\n", ["models.perceptron.learning_rate", "finite"]),
        ("schedule: {name: cosine_decay, warmup: 0.2}", "schedule: {}", ["cnn_fast.schedule", "cosine_decay"]),
        ("seed: 0", "seed: \0", ["not text in YAML"]),
        ("optimizer: RMSprop", "optimizer: 3", ["models.dense_512.optimizer", "write a name"]),
        ("{units: 512}", "{units: 512, activation: rleu}", ["dense.0.activation", "'rleu'", "relu"]),
        ("{units: 512}", "{units: 512, dropout: 1.0}", ["dense.0.dropout", "less than 1"]),
        ("warmup: 0.2", "warmup: 2.0", ["models.cnn_fast.schedule.warmup", "less than 1"]),
        ("name: cosine_decay", "name: cosine", ["models.cnn_fast.schedule", "cosine", "exponential_decay"]),
        ("{filters: 64}", "{filters: 64, kernel_size: 13}", ["models.cnn_2m", "convolutions.2", "12×12"]),
        ("family: perceptron", "family: perceptrn", ["models.perceptron", "perceptrn", "dense", "cnn"]),
        ("    family: perceptron\n", "", ["models.perceptron", "family", "missing"]),
        ("presets: [perceptron,", "presets: [cnnn,", ["presets", "unknown model 'cnnn'", "cnn_2m", "dense_512"]),
        ("presets: [perceptron,", "presets: [cnn_2m,", ["presets", "twice"]),
        ("  perceptron:", "  per.ceptron:", ["models.per.ceptron", "letters, digits, - and _"]),
    ],
)
def test_a_fault_is_named_with_what_is_allowed(tmp_path, old, new, messages):
    assert old in PARAMS
    with pytest.raises(UserError) as problem:
        load_text(tmp_path, PARAMS.replace(old, new, 1))
    for part in messages:
        assert part in str(problem.value)


def test_all_faults_are_reported_at_once(tmp_path):
    with pytest.raises(UserError) as problem:
        load_text(tmp_path, PARAMS.replace("epochs: 5", "epochs: 0").replace("seed: 0", "seed: -1"))
    assert len(str(problem.value).splitlines()) == 3


def test_a_model_that_nothing_uses_may_be_too_deep_for_the_images_until_it_is_asked_for(tmp_path):
    best = PARAMS.index("  cnn_best:")
    text = PARAMS[:best] + PARAMS[best:].replace("{filters: 128,", "{filters: 128, kernel_size: 9,", 1)
    params = load_text(tmp_path, text)
    with pytest.raises(UserError, match=r"models.cnn_best: convolutions.3 leaves nothing of its 4×4 input"):
        params.model("cnn_best")


def test_every_training_has_a_seed(tmp_path):
    last = PARAMS.replace("seed: 0", f"seed: {2**32 - 2}")
    assert load_text(tmp_path, last.replace("seeds_per_model: 1", "seeds_per_model: 2")).seeds_per_model == 2
    with pytest.raises(UserError, match=r"seeds_per_model: .*write at most 2"):
        load_text(tmp_path, last.replace("seeds_per_model: 1", "seeds_per_model: 3"))


def test_numbers_are_read_as_dvc_reads_them(tmp_path):
    params = load_text(tmp_path, PARAMS.replace("learning_rate: 0.01}", "learning_rate: 1e-2}"))
    assert params.models["dense_10"].optimizer.arguments == {"learning_rate": 0.01}


def test_names_are_read_however_they_are_capitalised(tmp_path):
    params = load_text(tmp_path, PARAMS.replace("optimizer: RMSprop", "optimizer: rmsprop"))
    assert params.models["dense_512"].optimizer.name == "RMSprop"


@pytest.mark.parametrize(
    ("stage", "old", "new"),
    [
        (("download",), "seed: 0", "sede: 0"),
        (("preprocess",), "validation_images: 5000", "validation_images: many"),
        (("train", "dense_512"), "epochs: 5", "epochs: -5"),
        (("train", "cnnn"), "seed: 0", "seed: 0"),
        (("evaluate", "dense_512"), "optimizer: RMSprop", "optimizer: RMSprob"),
        (("register",), "presets: [", "presets: [cnnn, "),
        (("commands.compare",), "presets: [", "presets: [cnnn, "),
    ],
)
def test_a_stage_stops_at_bad_parameters_at_once(tmp_path, stage, old, new):
    (tmp_path / "params.yaml").write_text(PARAMS.replace(old, new, 1))
    name, *arguments = stage
    command = [sys.executable, "-X", "importtime", "-m", f"pipeline.{name}", *arguments]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(Path.cwd()), "PATH": "/usr/bin:/bin"},
    )
    imported, _, message = done.stderr.rpartition("error: ")
    assert done.returncode == 1
    assert "params.yaml" in message or "unknown model 'cnnn'" in message
    assert "Traceback" not in done.stderr
    # This is quick because nothing heavy is imported before the parameters are checked.
    assert not {"tensorflow", "keras", "mlflow"} & {line.split("|")[-1].strip() for line in imported.splitlines()}

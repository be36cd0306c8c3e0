import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from pipeline.cli import UserError
from pipeline.config.sweep import Dimension
from pipeline.sweep import space
from tests.helpers.params import PARAMS
from tests.helpers.sweeps import define

RATE = {"low": 1e-3, "high": 1e-1}


def change_model(**new):
    return lambda content: content["models"]["tiny"].update(new)


def change_space(**new):
    return lambda content: content["sweep"].update(space=new)


def test_a_search_goes_on_only_while_its_definition_is_the_same():
    def name(change) -> str:
        return space.name_study(define(change), "data")

    same = [
        lambda content: None,
        lambda content: content["sweep"].update(trials=3),
        # The space overrides this key, so its value may change.
        change_model(optimizer={"name": "SGD", "learning_rate": 0.5}),
        lambda content: content["models"]["dense_10"].update(epochs=1),
    ]
    others = [
        change_model(batch_size=32),
        change_model(optimizer={"name": "SGD", "learning_rate": 0.1, "momentum": 0.9}),
        lambda content: content.update(seed=1),
        lambda content: content["sweep"]["space"]["dense.0.units"].update(high=65),
        lambda content: content["sweep"]["space"].pop("dense.0.dropout"),
    ]
    assert len({name(change) for change in same}) == 1
    found = {name(same[0]), space.name_study(define(), "other data"), *(name(change) for change in others)}
    assert len(found) == 2 + len(others)
    assert name(same[0]).startswith("tiny ")
    assert len(name(same[0])) == len("tiny ") + 12


@pytest.mark.parametrize(
    ("searched", "messages"),
    [
        ({"optimzer.learning_rate": RATE}, ["unknown key 'optimzer'", "did you mean 'optimizer'"]),
        ({"optimizer.learning_rte": RATE}, ["argument of SGD", "did you mean 'learning_rate'"]),
        ({"dense.1.units": {"low": 8, "high": 9}}, ["models.tiny has no dense.1.units", "A list's parts are 0"]),
        ({"dense.first.units": {"low": 8, "high": 9}}, ["models.tiny has no dense.first.units"]),
        ({"dense.-1.units": {"low": 8, "high": 9}}, ["sweep.space.dense.-1.units", "such as optimizer.learning_rate"]),
        ({"batch_size.x": {"low": 8, "high": 9}}, ["models.tiny has no batch_size.x", "64"]),
        ({"epochs": {"low": 3, "high": 3}}, ["sweep.space.epochs", "low should be below high"]),
        ({"epochs": {"low": 0, "high": 3}}, ["epochs=0", "models.tiny.epochs", "greater than 0"]),
        ({"epochs": {"low": 1.0, "high": 3.0}}, ["epochs=1.0", "valid integer"]),
        ({"epochs": {"low": 1, "high": 9, "step": 9}}, ["sweep.space.epochs", "step"]),
        ({"epochs": {"low": 1}}, ["sweep.space.epochs", "high is None"]),
        ({"epochs": {"low": 1, "hihg": 2}}, ["sweep.space.epochs", "did you mean 'high'"]),
        ({"epochs": {"low": True, "high": 3}}, ["sweep.space.epochs", "low is True"]),
        ({"epochs": {"low": 1, "high": float("inf")}}, ["sweep.space.epochs", "high is inf"]),
        ({"epochs": {"choices": [1]}}, ["sweep.space.epochs", "at least two"]),
        ({"epochs": {"choices": [1, 2], "low": 1}}, ["sweep.space.epochs", "either"]),
        ({"epochs": {"choices": [1, 2], "low": 0}}, ["sweep.space.epochs", "either"]),
        ({"optimizer": {"choices": ["SGD", "SGDD"]}}, ["optimizer=SGDD", "unknown optimizer 'SGDD'", "Adam"]),
        ({"optimizer": {"choices": ["SGD", {"name": "Adam"}]}}, ["sweep.space.optimizer", "key by key"]),
        ({"dense.0.dropout": {"low": 0.0, "high": 1.0}}, ["dense.0.dropout=1.0", "less than 1"]),
        ({"optimizer.learning_rate": {"low": 0.0, "high": 1.0, "log": True}}, ["learning_rate", "low above 0"]),
        ({"optimizer": {"choices": ["SGD", "Adam"]}, "optimizer.momentum": RATE}, ["no optimizer.momentum", "{name"]),
        ({}, ["sweep.space"]),
    ],
)
def test_a_space_that_leads_nowhere_is_reported_before_anything_is_trained(searched, messages):
    with pytest.raises(UserError) as error:
        space.require_valid_space(define(lambda content: content["sweep"].update(space=searched)))
    for part in ["params.yaml", *messages]:
        assert part in str(error.value)


def test_values_that_are_impossible_only_together_are_reported():
    def use_two_convolutions(content: dict) -> None:
        content["models"]["tiny"] = content["models"]["cnn_fast"] | {
            "convolutions": [{"filters": 8, "kernel_size": 3}, {"filters": 8, "kernel_size": 3}]
        }
        kernel = {"low": 3, "high": 20}
        content["sweep"]["space"] = {f"convolutions.{index}.kernel_size": kernel for index in range(2)}

    with pytest.raises(
        UserError, match=r"convolutions.0.kernel_size=20, convolutions.1.kernel_size=20.*leaves nothing"
    ):
        space.require_valid_space(define(use_two_convolutions))


@pytest.mark.parametrize("model", ["tyny", 3])
def test_an_unknown_model_is_reported(model):
    with pytest.raises(UserError, match=r"sweep.model: .*" + ("did you mean 'tiny'" if model == "tyny" else "string")):
        define(lambda content: content["sweep"].update(model=model))


def test_parameters_without_a_sweep_are_reported_with_what_to_write():
    with pytest.raises(UserError, match=r"params.yaml has no `sweep`: write \{model: …, trials: …"):
        define(lambda content: content.pop("sweep"))


def test_a_file_is_read_and_its_space_checked(tmp_path):
    (tmp_path / "params.yaml").write_text(PARAMS)
    assert space.read_definition(tmp_path / "params.yaml").sweep.model == "dense_512"
    (tmp_path / "params.yaml").write_text(PARAMS.replace("low: 128", "low: 0"))
    with pytest.raises(UserError):
        space.read_definition(tmp_path / "params.yaml")


def test_a_candidate_has_the_points_values_and_keeps_the_others():
    definition = define()
    point = {"dense.0.units": 9, "optimizer.learning_rate": 0.5, "augmentation.translation": 2}
    config = space.make_candidate(definition, point)
    assert (config.dense[0].units, config.optimizer.arguments["learning_rate"]) == (9, 0.5)
    assert (config.augmentation.translation, config.batch_size) == (2, 64)
    assert definition.content["models"]["tiny"]["dense"][0]["units"] == 16  # the definition is unchanged


@pytest.mark.parametrize(
    ("dimension", "expected"),
    [
        ({"choices": ("relu", "tanh")}, CategoricalDistribution(("relu", "tanh"))),
        ({"low": 1, "high": 9}, IntDistribution(1, 9)),
        ({"low": 1, "high": 9, "step": 2}, IntDistribution(1, 9, step=2)),
        ({"low": 1, "high": 9, "log": True}, IntDistribution(1, 9, log=True)),
        ({"low": 1, "high": 9.0}, FloatDistribution(1, 9)),
        ({"low": 1.0, "high": 9, "step": 0.5}, FloatDistribution(1, 9, step=0.5)),
        ({"low": 1, "high": 9, "step": 0.5}, FloatDistribution(1, 9, step=0.5)),
        ({"low": 0.1, "high": 9.0, "log": True}, FloatDistribution(0.1, 9, log=True)),
    ],
)
def test_numbers_are_whole_if_both_ends_are(dimension, expected):
    assert space.make_distribution(Dimension(**dimension)) == expected


def test_the_command_sets_each_key_and_adds_the_model_to_those_that_are_trained():
    point = {"dense.0.units": 9, "dense.0.dropout": 0.25, "dense.0.activation": "tanh"}
    assert space.format_command(define(), point) == (
        "dvc exp run -S 'models.tiny.dense.0.units=9' -S '++models.tiny.dense.0.dropout=0.25' "
        "-S '++models.tiny.dense.0.activation=tanh' -S 'presets=[dense_10,tiny]'"
    )
    trained = define(lambda content: content.update(presets=["tiny"]))
    assert space.format_command(trained, {"epochs": 2}) == "dvc exp run -S 'models.tiny.epochs=2'"


def test_values_are_written_as_dvc_reads_them():
    words = space.format_command(define(), {"optimizer.nesterov": True, "schedule": None})
    assert "nesterov=true'" in words
    assert "schedule=null'" in words


def test_a_point_is_shown_with_its_keys():
    assert space.format_point({"epochs": 2, "dense.0.units": 9}) == "epochs=2, dense.0.units=9"

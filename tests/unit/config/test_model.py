import pytest
from pydantic import ValidationError

from pipeline.config.keras_objects import KerasObject
from pipeline.config.layers import Dense
from pipeline.config.model import Augmentation, CNNModel, DenseModel
from tests.helpers.configs import PERCEPTRON

DENSE = {"family": "dense", "optimizer": "SGD", "batch_size": 1, "epochs": 1}


@pytest.mark.parametrize(
    ("written", "name", "arguments"),
    [
        ("Adam", "Adam", {}),
        ("adam", "Adam", {}),
        ({"name": "RMSPROP", "rho": 0.8}, "RMSprop", {"rho": 0.8}),
        (KerasObject(name="SGD"), "SGD", {}),
    ],
)
def test_a_keras_object_is_a_name_or_a_mapping(written, name, arguments):
    optimizer = DenseModel.model_validate(DENSE | {"optimizer": written}).optimizer
    assert (optimizer.name, optimizer.arguments) == (name, arguments)


@pytest.mark.parametrize("written", ["he_normal", "HeNormal", "HE_NORMAL"])
def test_spellings_of_one_name_are_one_object(written):
    assert DenseModel.model_validate(DENSE | {"kernel_initializer": written}).kernel_initializer.name == "he_normal"


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (3, "write a name or {name: …, argument: value}; names: Adadelta"),
        ({"rho": 1}, "write a name"),
        ({"name": 3}, "write a name"),
        ("Adamm", "unknown optimizer 'Adamm' (did you mean 'Adam'?)"),
        ({"name": "Adam", "rho": 1}, "unknown argument of Adam 'rho'"),
        ({"name": "Adam", "beta_1": "x"}, "beta_1 of Adam is 'x'; write a number"),
    ],
)
def test_other_objects_are_refused(written, message):
    with pytest.raises(ValidationError) as error:
        DenseModel.model_validate(DENSE | {"optimizer": written})
    assert message in str(error.value)


def test_what_a_section_leaves_out():
    config = DenseModel.model_validate(DENSE)
    assert (config.activation.name, config.kernel_initializer.name) == ("relu", "glorot_uniform")
    assert (config.loss.name, config.schedule, config.dense) == ("categorical_crossentropy", None, ())
    assert config.augmentation.model_dump() == {"translation": 0, "rotation": 0.0, "zoom": 0.0}
    layer = Dense(units=3)
    assert (layer.activation, layer.batch_normalization, layer.dropout) == (None, False, 0.0)


def test_a_receipt_has_the_keys_that_came_later_only_where_they_are_used():
    config = make_cnn({})
    assert config.model_dump(mode="json").keys().isdisjoint({"early_stopping", "pooling"})
    used = config.model_copy(
        update={"pooling": "global_max", "augmentation": Augmentation(brightness=0.1, horizontal_flip=True)}
    ).model_dump(mode="json")
    assert used["pooling"] == "global_max"
    moves = {"translation": 0, "rotation": 0.0, "zoom": 0.0}
    assert used["augmentation"] == moves | {"brightness": 0.1, "horizontal_flip": True}


def make_cnn(*convolutions: dict) -> CNNModel:
    layers = [{"filters": 1} | convolution for convolution in convolutions]
    return CNNModel.model_validate(DENSE | {"family": "cnn", "convolutions": layers})


@pytest.mark.parametrize(
    "convolutions",
    [
        [{"kernel_size": 28}],
        [{"kernel_size": 27, "pool_size": 2}],
        [{"kernel_size": 29, "padding": "same"}],
        [{"kernel_size": 1, "strides": 28}],
        [{"padding": "same", "strides": 3, "pool_size": 10}],  # 28 → 10 → 1
        [{}, {}, {"pool_size": 22}],
    ],
)
def test_convolutions_may_leave_one_pixel(convolutions):
    make_cnn(*convolutions).require_fitting((28, 28, 1))


@pytest.mark.parametrize(
    ("convolutions", "message"),
    [
        ([{"kernel_size": 29}], "convolutions.0 leaves nothing of its 28×28 input: use a smaller kernel_size"),
        ([{"kernel_size": 27, "pool_size": 3}], "convolutions.0 leaves nothing of its 28×28"),
        ([{"padding": "same", "strides": 3, "pool_size": 11}], "convolutions.0 leaves nothing of its 28×28"),
        ([{}, {}, {"pool_size": 23}], "convolutions.2 leaves nothing of its 24×24"),
        ([{"pool_size": 2}, {"kernel_size": 14}], "convolutions.1 leaves nothing of its 13×13"),
    ],
)
def test_convolutions_that_leave_nothing_are_refused(convolutions, message):
    with pytest.raises(ValueError, match=message):
        make_cnn(*convolutions).require_fitting((28, 28, 1))


@pytest.mark.parametrize(
    ("convolutions", "message"),
    [
        ([{"whitening": True}], "filters in pairs: 1 should be an even number"),
        ([{"filters": 2, "whitening": True, "kernel_initializer": "zeros"}], "remove kernel_initializer"),
        ([{}, {"filters": 2, "whitening": True}], r"convolutions\.1: whitening is for the first convolution"),
    ],
)
def test_whitening_that_cannot_be_is_refused(convolutions, message):
    with pytest.raises(ValueError, match=message):
        make_cnn(*convolutions)


def test_whitening_needs_patches_of_as_many_components():
    config = make_cnn({"filters": 10, "kernel_size": 2, "whitening": True})
    config.require_fitting((28, 28, 3))
    with pytest.raises(ValueError, match="10 filters; whitening makes at most 8 of patches of 2×2×1"):
        config.require_fitting((28, 28, 1))


def test_height_and_width_are_looked_at_apart():
    config = make_cnn({"kernel_size": 5}, {"pool_size": 20})
    config.require_fitting((26, 1000, 1))
    for height, width, shrunk in ((25, 1000, "21×996"), (1000, 25, "996×21")):
        with pytest.raises(ValueError, match=f"convolutions.1 leaves nothing of its {shrunk} input"):
            config.require_fitting((height, width, 1))


def test_networks_without_convolutions_fit_images_of_every_size():
    DenseModel.model_validate(DENSE).require_fitting((1, 1, 1))
    PERCEPTRON.require_fitting((1, 1, 1))


def test_a_view_that_shows_nothing_is_refused():
    section = DENSE | {"test_time_augmentation": {"translation": 5}}
    cnn = section | {"family": "cnn", "convolutions": [{"filters": 1}]}
    for shifted in (DenseModel.model_validate(section), CNNModel.model_validate(cnn)):
        shifted.require_fitting((6, 9, 1))
        with pytest.raises(
            ValueError, match="translation is 5; of images of 5 pixels it leaves nothing: use at most 4"
        ):
            shifted.require_fitting((9, 5, 1))


def test_a_cnn_has_a_convolution():
    with pytest.raises(ValidationError, match="at least 1 item"):
        make_cnn()


@pytest.mark.parametrize(
    "section",
    [
        {"epochs": 0}, {"batch_size": 0}, {"dense": [{"units": 0}]}, {"dense": [{"units": 1, "dropout": 1.0}]},
        {"augmentation": {"translation": -1}}, {"augmentation": {"rotation": 181.0}}, {"augmentation": {"zoom": 1.0}},
        {"augmentation": {"brightness": 1.0}}, {"augmentation": {"contrast": -0.1}},
        {"schedule": {"name": "exponential_decay", "decay_rate": 0.0}},
        {"schedule": {"name": "exponential_decay", "decay_rate": 1.1}},
        {"schedule": {"name": "cosine_decay", "alpha": 1.0}},
    ],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(section):
    with pytest.raises(ValidationError):
        DenseModel.model_validate(DENSE | section)


@pytest.mark.parametrize(
    "section",
    [
        {"augmentation": {"rotation": 180.0}},
        {"schedule": {"name": "exponential_decay", "decay_rate": 1.0}},
        {"dense": [{"units": 1, "dropout": 0.0}]},
    ],
)
def test_the_ends_of_ranges_are_allowed(section):
    DenseModel.model_validate(DENSE | section)


def test_an_average_over_epochs_and_the_best_epoch_exclude_each_other():
    section = DENSE | {"optimizer": {"name": "Adam", "use_ema": True}}
    DenseModel.model_validate(section | {"early_stopping": {"patience": 1}})
    with pytest.raises(ValidationError, match="set one of the two to false"):
        DenseModel.model_validate(section | {"early_stopping": {"patience": 1, "restore_best_weights": True}})

from pipeline.config.flatten import flatten


def test_nested_sections_become_dotted_keys():
    section = {"epochs": 5, "dense": [{"units": 10, "dropout": 0.0}, {"units": 20}], "schedule": {"name": "cosine"}}
    assert flatten(section) == {
        "epochs": 5,
        "dense.0.units": 10,
        "dense.0.dropout": 0.0,
        "dense.1.units": 20,
        "schedule.name": "cosine",
    }


def test_what_is_not_set_is_left_out():
    assert flatten({"schedule": None, "dense": [], "flag": False, "zero": 0}) == {"flag": False, "zero": 0}


def test_a_keras_object_is_its_name_and_its_arguments():
    section = {"optimizer": {"name": "SGD", "arguments": {"learning_rate": 0.1, "momentum": None}}}
    assert flatten(section) == {"optimizer": "SGD", "optimizer.learning_rate": 0.1}


def test_keys_may_have_a_prefix():
    assert flatten({"a": {"b": 1}}, "models.") == {"models.a.b": 1}

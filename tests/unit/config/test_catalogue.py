import pytest

from pipeline.config.catalogue import CATALOGUE

PUBLISHED = {name: dataset for name, dataset in CATALOGUE.items() if dataset.files}


def test_the_data_sets_of_the_design_are_known():
    assert CATALOGUE.keys() == {"mnist", "fashion-mnist", "kmnist", "digits"}


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_built_in_data_sets_are_as_published(name):
    dataset = CATALOGUE[name]
    assert (dataset.form, dataset.image_shape, len(dataset.class_names)) == ("idx", (28, 28, 1), 10)
    assert (dataset.duplicates, dataset.contradictions) == ("keep", "keep")


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_data_set_has_two_mirrors(name):
    assert len(PUBLISHED[name].mirrors) >= 2, f"{name}: name a second mirror, for the day when the first is gone"


def test_no_file_has_the_sum_of_another():
    files: dict[str, list[str]] = {}
    for name, dataset in PUBLISHED.items():
        for file, expected in dataset.files.items():
            files.setdefault(expected, []).append(f"{name}'s {file}")
    same = [places for places in files.values() if len(places) > 1]
    assert not same, f"each file has a sum of its own, but these share one: {same}"

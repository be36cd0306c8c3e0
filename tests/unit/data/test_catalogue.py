import re

import pytest

from pipeline.cli import UserError
from pipeline.data.catalogue import CATALOGUE, FILES, TEST_LABELS, TRAIN_IMAGES, Publication, require_catalogued


def test_an_unknown_data_set_is_refused_with_the_known_names():
    with pytest.raises(UserError, match=r"params.yaml.*'mnits'.*did you mean 'mnist'.*kmnist"):
        require_catalogued("mnits")


@pytest.mark.parametrize("name", ["digits", "fashion-mnist", "kmnist", "mnist"])
def test_the_data_sets_of_the_design_are_known(name):
    require_catalogued(name)


@pytest.mark.parametrize("name", ["fashion-mnist", "kmnist", "mnist"])
def test_the_data_sets_of_the_design_have_two_mirrors(name):
    assert len(CATALOGUE[name].mirrors) >= 2, f"{name}: name a second mirror, for the day when the first is gone"


PUBLICATIONS = {name: publication for name, publication in CATALOGUE.items() if publication}


@pytest.mark.parametrize("name", PUBLICATIONS)
def test_a_mirror_is_reached_by_https(name):
    others = [address for address in PUBLICATIONS[name].mirrors if not address.startswith("https://")]
    assert not others, f"{name}: a mirror's address begins with https://, unlike {others}; DATASET_MIRROR takes others"


@pytest.mark.parametrize("name", PUBLICATIONS)
def test_a_sum_is_a_sha256(name):
    wrong = [file for file, expected in PUBLICATIONS[name].sha256.items() if not re.fullmatch("[0-9a-f]{64}", expected)]
    assert not wrong, f"{name}: a sum is what `sha256sum` prints, 64 hexadecimal digits, unlike that of {wrong}"


def test_no_file_has_the_sum_of_another():
    files: dict[str, list[str]] = {}
    for name, publication in PUBLICATIONS.items():
        for file, expected in publication.sha256.items():
            files.setdefault(expected, []).append(f"{name}'s {file}")
    same = [places for places in files.values() if len(places) > 1]
    assert not same, f"each file has a sum of its own, but these share one: {same}"


def test_a_publication_has_the_sums_of_exactly_four_files():
    sums = dict.fromkeys(FILES, "0" * 64)
    assert Publication((), sums).sha256 == sums
    del sums[TEST_LABELS]
    with pytest.raises(ValueError, match=f"missing: {TEST_LABELS}; unknown: t10k-labels.gz"):
        Publication((), sums | {"t10k-labels.gz": "0" * 64})
    with pytest.raises(ValueError, match=f"missing: {TRAIN_IMAGES}, .*{TEST_LABELS}; unknown: none"):
        Publication((), {})

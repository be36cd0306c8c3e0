import pytest

from pipeline.cli import UserError
from pipeline.data.catalogue import CATALOGUE, require_catalogued


def test_an_unknown_data_set_is_refused_with_the_known_names():
    with pytest.raises(UserError, match=r"params.yaml.*'mnits'.*did you mean 'mnist'.*kmnist"):
        require_catalogued("mnits")


@pytest.mark.parametrize("name", ["digits", "fashion-mnist", "kmnist", "mnist"])
def test_the_data_sets_of_the_design_are_known(name):
    require_catalogued(name)


def test_every_published_data_set_has_two_https_mirrors_and_a_sum_for_each_of_four_files():
    for name, publication in CATALOGUE.items():
        if name != "digits":
            assert len(publication.mirrors) >= 2
            assert all(address.startswith("https://") for address in publication.mirrors)
            assert len(publication.sha256) == 4
            assert all(len(bytes.fromhex(expected)) == 32 for expected in publication.sha256.values())


def test_no_file_has_the_sum_of_another():
    sums = [expected for publication in CATALOGUE.values() for expected in publication.sha256.values()]
    assert len(set(sums)) == len(sums)

"""Which sections of `datasets` are valid, and the messages for sections that are not."""

import pytest
from ruamel.yaml import YAML

from pipeline.cli import UserError
from pipeline.config.dataset import IDX_FILES
from pipeline.config.params import Params, check
from tests.helpers.params import PARAMS

SUM = "0" * 64
ARCHIVE = {"files": {"leaves.tar.gz": SUM}}


def load(name: str = "leaves", chosen: str = "leaves", **section: object) -> Params:
    """Return the tests' parameters with one section of `datasets`, for pictures of 64×64 in pictures/leaves."""
    content = YAML(typ="safe").load(PARAMS)
    place = {} if section.keys() & {"folder", "files", "package"} else {"folder": "pictures/leaves"}
    content["datasets"] = {name: {"height": 64, "width": 64} | place | section}
    return check(content | {"dataset": chosen}, "params.yaml")


def test_a_folder_and_a_size_are_all_that_own_pictures_need():
    dataset = load().data
    assert (dataset.image_shape, dataset.form, dataset.resize) == ((64, 64, 3), "folders", "stretch")
    assert (dataset.broken, dataset.duplicates, dataset.contradictions) == ("skip", "skip", "refuse")


@pytest.mark.parametrize(
    "section",
    [
        ARCHIVE | {"mirrors": ["https://example.org/leaves"]},
        {"files": {"a.parquet": SUM, "test.parquet": SUM}, "form": "parquet", "label_column": "tree"},
        {"files": dict.fromkeys(IDX_FILES, SUM), "form": "idx", "color_mode": "grayscale"},
        {"folder": "pictures/leaves/2026", "form": "csv", "group_column": "person", "class_names": ["oak", "ash"]},
        {"resize": "ink", "height": 28, "width": 28, "color_mode": "grayscale", "group_separator": "_"},
    ],
)
def test_each_place_and_form_may_be_written(section):
    assert load(**section).data


@pytest.mark.parametrize(
    ("section", "messages"),
    [
        ({"folder": "pictures"}, ["folder is 'pictures'", "write pictures/…"]),
        ({"folder": "/data/leaves"}, ["folder is '/data/leaves'"]),
        ({"folder": "pictures/../data"}, ["folder is 'pictures/../data'"]),
        ({"files": {}}, ["either folder", "or files"]),
        ({"folder": "pictures/leaves"} | ARCHIVE, ["where the images are, once"]),
        ({"mirrors": ["https://example.org"]}, ["mirrors are for files alone"]),
        (ARCHIVE | {"mirrors": ["ftp://example.org"]}, ["mirrors.0", "https://"]),
        ({"files": {"leaves.tar.gz": "0" * 63}}, ["files.leaves.tar.gz", "as `sha256sum` prints it"]),
        ({"files": {"a/leaves.zip": SUM}}, ["files.a/leaves.zip", "without folders"]),
        ({"files": {"leaves.rar": SUM}}, ["leaves.rar", ".zip, .tar, .tar.gz, .tgz, .tar.xz, .tar.zst"]),
        ({"files": {"a.gz": SUM}, "form": "idx", "color_mode": "grayscale"}, ["form: idx takes the four files"]),
        ({"form": "idx"}, ["color_mode: grayscale"]),
        ({"form": "jpeg"}, ["form", "'folders', 'csv', 'parquet' or 'idx'", "'jpeg'"]),
        ({"height": 0}, ["height", "greater than 0"]),
        ({"height": 1000, "width": 1000}, ["1000 × 1000 × 3", "at most 1,000,000 values"]),
        ({"color_mode": "rgba"}, ["color_mode", "'grayscale' or 'rgb'"]),
        ({"resize": "ink"}, ["resize: ink is for height: 28, width: 28, color_mode: grayscale"]),
        ({"class_names": ["oak"]}, ["class_names should be at least two names"]),
        ({"class_names": ["oak", "oak"]}, ["class_names", "each written once"]),
        ({"test_share": 1.0}, ["test_share", "less than 1"]),
        ({"group_column": "person"}, ["form: folders has no columns, so remove group_column"]),
        ({"form": "csv", "group_column": "a", "group_separator": "_"}, ["group_separator", "instead of group_column"]),
        ({"broken": "keep"}, ["broken", "'skip' or 'refuse'"]),
        ({"contradictions": "drop"}, ["contradictions", "'refuse', 'skip' or 'keep'"]),
        ({"heigth": 3}, ["unknown key 'heigth'", "did you mean 'height'"]),
        ({"name": "Leaves"}, ["datasets.Leaves", "a name of a-z"]),
        ({"name": "mnist"}, ["datasets.mnist: a built-in data set has this name"]),
        ({"chosen": "leafs"}, ["dataset: unknown data set 'leafs'", "did you mean 'leaves'", "fashion-mnist"]),
        ({"height": 4}, ["models.cnn_2m: convolutions.1 leaves nothing", "leaves has images of 4×64 pixels"]),
    ],
)
def test_a_fault_is_named_with_what_is_allowed(section, messages):
    with pytest.raises(UserError) as problem:
        load(**section)
    for part in messages:
        assert part in str(problem.value)


def test_all_faults_of_all_sections_are_named_at_once():
    with pytest.raises(UserError) as problem:
        load(height=-1, form="jpeg", mirrors=["http://a"])
    assert len(str(problem.value).splitlines()) == 3
    with pytest.raises(UserError, match=r"folder is 'leaves'.*; class_names should be"):
        load(folder="leaves", class_names=["oak"])

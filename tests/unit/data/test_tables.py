import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from pipeline.cli import UserError
from pipeline.config.dataset import Dataset
from pipeline.data.pictures import Listing
from pipeline.data.tables import list_csv, list_parquet
from tests.helpers.datasets import write_pictures
from tests.helpers.pictures import encode

CSV = Dataset(folder="pictures/leaves", form="csv", height=8, width=8)
PARQUET = CSV.model_copy(update={"form": "parquet"})
FILES = [encode(np.full((8, 8), value, np.uint8)) for value in range(4)]


def describe(listing: Listing) -> list[tuple[str, str, bool, str]]:
    return [(picture.path, picture.label, picture.is_test, picture.group) for picture in listing.pictures]


def write_hugging_face(path: Path, labels: list, names: list[str] | None = None, **columns: list) -> None:
    """Write a Parquet file as Hugging Face does; `names` are the class names if the labels are numbers."""
    images = [{"bytes": FILES[place % 4], "path": None} for place in range(len(labels))]
    table = pyarrow.table({"image": images, "label": labels} | columns)
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}, "image": {"_type": "Image"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path)


def test_a_table_names_pictures_labels_and_groups(tmp_path):
    write_pictures(tmp_path, {"first": 2, "second": 1})
    (tmp_path / "all.csv").write_text(
        "id,label,path,person\n1,oak,second/0.png,ben\n2, ash ,./first/1.png,anna\n3,oak,first\\0.png,anna\n",
        "utf-8-sig",
    )
    listing = list_csv(tmp_path, CSV.model_copy(update={"group_column": "person"}))
    assert describe(listing) == [
        ("first/0.png", "oak", False, "anna"),
        ("first/1.png", "ash", False, "anna"),
        ("second/0.png", "oak", False, "ben"),
    ]
    assert [path.relative_to(tmp_path).as_posix() for path in listing.read()] == [row[0] for row in describe(listing)]
    assert (listing.class_names, listing.strays) == (("ash", "oak"), [])


def test_a_files_group_is_the_same_with_any_slash(tmp_path):
    write_pictures(tmp_path, {"my_scans": 1, "ash": 1})
    for folder in ("my_scans", "ash"):
        (tmp_path / folder / "0.png").rename(tmp_path / folder / "anna_0.png")
    (tmp_path / "all.csv").write_text("path,label\nmy_scans\\anna_0.png,oak\nash/anna_0.png,ash\n")
    listing = list_csv(tmp_path, CSV.model_copy(update={"group_separator": "_"}))
    assert [group for *_, group in describe(listing)] == ["anna", "anna"]


def test_tables_may_be_two_and_have_other_columns(tmp_path):
    write_pictures(tmp_path, {"data/a": 2})
    for name, row in (("Train.csv", "a/0.png,x_1,oak"), ("test-2.csv", "a/1.png,x_1,ash")):
        (tmp_path / "data" / name).write_text(f"file,series,tree\n{row}\n")
    (tmp_path / "data/readme.txt").touch()
    section = {"image_column": "file", "label_column": "tree", "group_separator": "."}
    listing = list_csv(tmp_path, CSV.model_copy(update=section))
    assert describe(listing) == [("data/a/0.png", "oak", False, "0"), ("data/a/1.png", "ash", True, "1")]
    assert listing.strays == ["data/readme.txt"]


def test_numbers_get_the_names_of_the_metadata_in_their_order(tmp_path):
    write_hugging_face(tmp_path / "train-00000-of-00002.parquet", [1, 0], ["oak", "ash"])
    write_hugging_face(tmp_path / "train-00001-of-00002.parquet", [1], ["oak", "ash"])
    write_hugging_face(tmp_path / "test-00000-of-00001.parquet", [0], ["oak", "ash"])
    listing = list_parquet(tmp_path, PARQUET)
    assert describe(listing) == [
        ("test-00000-of-00001.parquet#0", "oak", True, ""),
        ("train-00000-of-00002.parquet#0", "ash", False, ""),
        ("train-00000-of-00002.parquet#1", "oak", False, ""),
        ("train-00001-of-00002.parquet#0", "ash", False, ""),
    ]
    assert listing.class_names == ("oak", "ash")
    assert list(listing.read()) == [FILES[0], FILES[0], FILES[1], FILES[0]]


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (["oak", "ash"], (), ("ash", "oak")),
        ([10, 9], (), ("9", "10")),
        ([1, 0], ("oak", "ash"), ("oak", "ash")),
        (["oak", "ash"], ("oak", "ash"), ("oak", "ash")),
    ],
)
def test_labels_without_metadata_are_sorted_unless_class_names_orders_them(tmp_path, labels, names, expected):
    write_hugging_face(tmp_path / "a.parquet", labels)
    assert list_parquet(tmp_path, PARQUET.model_copy(update={"class_names": names})).class_names == expected


def test_a_column_keeps_images_together_and_a_missing_image_is_no_bytes(tmp_path):
    write_hugging_face(tmp_path / "a.parquet", ["oak", "ash"], person=["anna", None])
    listing = list_parquet(tmp_path, PARQUET.model_copy(update={"group_column": "person"}))
    assert [group for *_, group in describe(listing)] == ["anna", ""]
    parquet.write_table(pyarrow.table({"image": [FILES[0], None], "label": ["oak", "ash"]}), tmp_path / "a.parquet")
    assert list(list_parquet(tmp_path, PARQUET).read()) == [FILES[0], b""]


def test_a_table_that_a_spreadsheet_saved_otherwise_is_refused_with_the_way_to_save_it(tmp_path):
    (tmp_path / "all.csv").write_text("path;label\nfirst/0.png;oak\n")
    with pytest.raises(UserError, match="it has path;label: put commas between the columns"):
        list_csv(tmp_path, CSV)
    (tmp_path / "all.csv").write_text("path,label\nfirst/0.png,Bärlauch\n", "latin-1")
    with pytest.raises(UserError, match=r"is not a CSV file in UTF-8, so save it as one: .*0xe4"):
        list_csv(tmp_path, CSV)

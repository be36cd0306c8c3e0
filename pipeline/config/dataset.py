"""The section `datasets.<name>` of params.yaml: where the images are, in which form, and how they are prepared."""

import math
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from pipeline.config.section import Section, spelled

PICTURES = "pictures"  # the folder for people's own pictures; in dvc.yaml, the stage `preprocess` depends on it
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst")
INK_SIZE = (28, 28)  # the size of MNIST's images
MAX_VALUES = 1_000_000  # in one image, such as 577×577 in colour; one request to the served model has the same limit
IDX_FILES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)

FileName = Annotated[
    str, spelled(r"[^/\\.][^/\\]*", "a file's name, without folders and without a dot at its beginning")
]
Sha256 = Annotated[str, spelled(r"[0-9a-f]{64}", "the file's sha256, as `sha256sum` prints it")]
Address = Annotated[str, spelled(r"https://[^/].*", "an address that begins with https://")]
DATASET_NAME = r"[a-z0-9][a-z0-9_-]*"
DatasetName = Annotated[str, spelled(DATASET_NAME, "a name of a-z, 0-9, - and _, such as my-leaves")]


class Dataset(Section):
    """A data set. Exactly one of `folder`, `files` and `package` says where its images are."""

    folder: str | None = None
    """A folder with your own pictures, inside `pictures/`."""
    files: dict[FileName, Sha256] = Field(default={})
    """Published files: the name of each and its sha256, as `sha256sum` prints it. Archives (.zip, .tar, .tar.gz, .tgz,
    .tar.xz, .tar.zst) are unpacked."""
    mirrors: Annotated[tuple[Address, ...], Field(strict=False)] = ()
    """Addresses (https://…) below which `files` can be downloaded, tried in this order. If the environment variable
    `DATASET_MIRROR` is set, its address, followed by the data set's name, is tried first."""
    package: Literal["scikit-learn"] | None = None
    """The Python package that contains the images; only the built-in `digits` uses this."""
    form: Literal["folders", "csv", "parquet", "idx"] = "folders"
    """`folders`: one folder per class, at the top or in train/ and test/; `csv`: tables of paths and labels; `parquet`:
    tables with images, as Hugging Face publishes them; `idx`: four files like those of MNIST. If there are several
    tables, those whose names begin with test are the test set."""
    height: PositiveInt
    """The height of every prepared image, in pixels."""
    width: PositiveInt
    """The width of every prepared image, in pixels."""
    color_mode: Literal["grayscale", "rgb"] = "rgb"
    """Whether prepared images are grey or in colour."""
    resize: Literal["stretch", "crop", "pad", "ink"] = "stretch"
    """How an image of another size is resized: `stretch` changes the aspect ratio if it has to; `crop` cuts off what
    does not fit; `pad` adds white borders; `ink` finds the drawn digit and centres it as MNIST does, only for grey
    images of 28×28. Served images are treated in the same way."""
    class_names: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """The names of the classes, in order, as answers show them; if empty, the names in the data, sorted."""
    test_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of the images that becomes the test set if the data has no test set. The seed doesn't affect the choice."""
    image_column: str | None = None
    """The column with the image; by default `path` in csv and `image` in parquet."""
    label_column: str = "label"
    """The column with the label, in csv and parquet."""
    group_column: str | None = None
    """A column, in csv and parquet, that names the group of each image, such as the person that it shows. Images of one
    group stay together in every split that the pipeline draws."""
    group_separator: Annotated[str, Field(min_length=1)] | None = None
    """The same, but from the file names: the part before the first separator is the group, such as `anna` in
    anna_07.jpg."""
    broken: Literal["skip", "refuse"] = "skip"
    """What happens to files that can't be read as an image."""
    duplicates: Literal["skip", "keep"] = "skip"
    """What happens to an image that equals an earlier image in every pixel; `skip` keeps only the first of them."""
    contradictions: Literal["refuse", "skip", "keep"] = "refuse"
    """What happens if the same image has two labels, or is in both the training and the test set: `skip` leaves out all
    copies in the first case, and the training copies in the second."""

    @property
    def channels(self) -> int:
        return 3 if self.color_mode == "rgb" else 1

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of one prepared image: height, width, channels."""
        return self.height, self.width, self.channels

    @property
    def has_groups(self) -> bool:
        """Whether the section says which images belong to one group."""
        return self.group_column is not None or self.group_separator is not None

    @model_validator(mode="after")
    def _require_sense(self) -> Self:
        if faults := [*self._find_faults_of_place(), *self._find_faults_of_form()]:
            raise ValueError("; ".join(faults))
        return self

    def _find_faults_of_place(self) -> Iterator[str]:
        if (self.folder is not None) + bool(self.files) + (self.package is not None) != 1:
            yield (
                "write where the images are, once: either folder: pictures/… for your own, or files: {name: sha256} "
                "for published ones"
            )
        if self.folder is not None:
            parts = PurePosixPath(self.folder).parts
            if parts[:1] != (PICTURES,) or len(parts) < 2 or ".." in parts:
                yield f"folder is {self.folder!r}; write {PICTURES}/… for a folder inside {PICTURES}/"
        if self.mirrors and not self.files:
            yield "mirrors are for files alone: name the files and their sha256, too"
        if self.files and self.form == "folders" and (others := [file for file in self.files if not is_archive(file)]):
            yield f"files has {', '.join(others)}; form: folders takes archives: {', '.join(ARCHIVES)}"
        if self.form == "idx" and self.files and self.files.keys() != set(IDX_FILES):
            yield f"form: idx takes the four files {', '.join(IDX_FILES)}"

    def _find_faults_of_form(self) -> Iterator[str]:
        if self.resize == "ink" and (self.height, self.width, self.color_mode) != (*INK_SIZE, "grayscale"):
            yield "resize: ink is for height: 28, width: 28, color_mode: grayscale; write stretch, crop or pad"
        if self.form == "idx" and self.color_mode != "grayscale":
            yield "form: idx holds grey images: write color_mode: grayscale"
        if math.prod(self.image_shape) > MAX_VALUES:
            yield (
                f"an image of {' × '.join(map(str, self.image_shape))} has {math.prod(self.image_shape):,} values; at "
                f"most {MAX_VALUES:,} values are allowed: write a smaller size, to which images are brought"
            )
        if self.class_names and (len(set(self.class_names)) < max(2, len(self.class_names)) or "" in self.class_names):
            yield "class_names should be at least two names, each written once"
        if self.form not in ("csv", "parquet"):
            columns = {"image_column": None, "label_column": "label", "group_column": None}
            if given := [key for key, default in columns.items() if getattr(self, key) != default]:
                yield f"form: {self.form} has no columns, so remove {', '.join(given)}"
        if self.group_separator is not None and (self.form not in ("folders", "csv") or self.group_column is not None):
            yield "group_separator is for the files of form: folders or csv, and instead of group_column"


def is_archive(file: str) -> bool:
    """Return whether a file is an archive, judged by its file name extension."""
    return file.lower().endswith(ARCHIVES)

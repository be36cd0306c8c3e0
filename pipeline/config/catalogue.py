"""The built-in data sets, defined with the same keys as those of params.yaml: see pipeline/config/dataset.py."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.dataset import IDX_FILES, Dataset

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = IDX_FILES
DIGITS = tuple("0123456789")
# All published images of these data sets are kept, including duplicates and contradictions.
PUBLISHED: dict[str, Any] = {
    "form": "idx", "height": 28, "width": 28, "color_mode": "grayscale", "duplicates": "keep", "contradictions": "keep",
}  # fmt: skip

# Each data set that is downloaded has two mirrors, in case one disappears. The sha256 are those of the publishers' own
# files, as TensorFlow Datasets and torchvision list them.
CATALOGUE: dict[str, Dataset] = {
    "mnist": Dataset(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        files={
            TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
        resize="ink",
        class_names=DIGITS,
        **PUBLISHED,
    ),
    "fashion-mnist": Dataset(
        mirrors=(
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
            "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion",
        ),
        files={
            TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
        resize="stretch",
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        **PUBLISHED,
    ),
    "kmnist": Dataset(
        mirrors=(
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist",
            "https://huggingface.co/datasets/tanganke/kmnist/resolve/53810959241e8f35890445245170c8cec0672f81/raw",
        ),
        files={
            TRAIN_IMAGES: "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            TRAIN_LABELS: "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            TEST_IMAGES: "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            TEST_LABELS: "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        },
        resize="stretch",
        class_names=("お", "き", "す", "つ", "な", "は", "ま", "や", "れ", "を"),
        **PUBLISHED,
    ),
    "digits": Dataset(package="scikit-learn", resize="ink", class_names=DIGITS, **PUBLISHED),
}


@dataclass(frozen=True)
class WriterTables:
    """Published tables that say who wrote each image of a data set: first the training images, then the test images.

    `name` is the folder of the tables below DATASET_MIRROR.
    """

    name: str
    mirrors: tuple[str, ...]
    files: Mapping[str, str]
    """The sha256 of each file, by the file's name."""


# Optional parts of data sets, downloaded if `writers` is true.
# QMNIST has one row per image of MNIST. Source: C. Yadav and L. Bottou, Cold case: the lost MNIST digits, NeurIPS 2019;
# github.com/facebookresearch/qmnist, BSD licence. The sha256 are those of its files at this commit.
QMNIST_COMMIT = "c5d0468d749822b3dfc4fcb7110a1e94d541b1c1"
WRITERS: dict[str, WriterTables] = {
    "mnist": WriterTables(
        name="qmnist",
        mirrors=(
            f"https://raw.githubusercontent.com/facebookresearch/qmnist/{QMNIST_COMMIT}",
            f"https://cdn.jsdelivr.net/gh/facebookresearch/qmnist@{QMNIST_COMMIT}",
        ),
        files={
            "qmnist-train-labels.tsv.gz": "063229afb535986df50a905c6fa03b716f503bd859d2d9bc8a9b4e2c6a2ccee4",
            "qmnist-test-labels.tsv.gz": "fe2001449c9580376e16fad7a14cc4f525644b6ffeadc47dc249938529002904",
        },
    ),
}


def find_dataset(name: str, own: Mapping[str, Dataset]) -> Dataset:
    """Return the section of a data set: of a built-in data set, or one from `own`."""
    return CATALOGUE[name] if name in CATALOGUE else own[name]

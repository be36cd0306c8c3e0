"""The data sets that the pipeline knows: where their files are published, and the sums of these files."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.cli import UserError
from pipeline.config.section import require_known

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"
FILES = (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)


@dataclass(frozen=True)
class Publication:
    """A published data set: its mirrors, in the order in which they are tried, and the sha256 of each of its files.

    Raise ValueError if the files aren't the four of FILES.
    """

    mirrors: tuple[str, ...]
    sha256: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.sha256.keys() != set(FILES):
            raise ValueError(
                "a publication has the sha256 of MNIST's four files; "
                f"missing: {', '.join(file for file in FILES if file not in self.sha256) or 'none'}; "
                f"unknown: {', '.join(sorted(self.sha256.keys() - set(FILES))) or 'none'}"
            )


# A data set's mirrors have https addresses; a public one has two, for the day when one is gone. A private one has none,
# `mirrors=()`, and is fetched from DATASET_MIRROR alone. A sum is what `sha256sum` prints of a file; those below are
# the publishers' own, as TensorFlow Datasets and torchvision list them.
CATALOGUE: dict[str, Publication | None] = {
    "mnist": Publication(
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist",
            "https://storage.googleapis.com/cvdf-datasets/mnist",
        ),
        sha256={
            TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": Publication(
        mirrors=(
            "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/"
            "b2617bb6d3ffa2e429640350f613e3291e10b141/data/fashion",
        ),
        sha256={
            TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "kmnist": Publication(
        mirrors=(
            "https://codh.rois.ac.jp/kmnist/dataset/kmnist",
            "https://huggingface.co/datasets/tanganke/kmnist/resolve/53810959241e8f35890445245170c8cec0672f81/raw",
        ),
        sha256={
            TRAIN_IMAGES: "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
            TRAIN_LABELS: "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
            TEST_IMAGES: "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
            TEST_LABELS: "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
        },
    ),
    # Made from a file inside scikit-learn, not fetched.
    "digits": None,
}


def require_catalogued(name: str) -> None:
    """Raise UserError, with the names that are known, for a data set that the catalogue lacks."""
    try:
        require_known(name, CATALOGUE, "dataset")
    except ValueError as error:
        raise UserError(f"params.yaml: {error}") from None

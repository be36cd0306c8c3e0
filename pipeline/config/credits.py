"""The section `credits` of params.yaml: authors and licences of data sets, also of the built-in ones."""

from collections.abc import Mapping
from typing import Annotated

from pipeline.config.section import Section, spelled

NOT_STATED = "not stated"
# MLflow keeps at most 5,000 characters of a model card.
Text = Annotated[str, spelled(r"(?s)\S.{0,499}", "a text of at most 500 characters, or be left out")]


class Credit(Section):
    """What the model card and `make report` say about the origin of a data set."""

    source: Text = NOT_STATED
    """Who made the data and where it was published, written as a citation."""
    licence: Text = NOT_STATED
    """The name of the data's licence."""


NO_CREDIT = Credit()


# As the publishers state them: in the README files of Fashion-MNIST and KMNIST, and at UCI. The licence of MNIST is
# stated by others.
CREDITS: dict[str, Credit] = {
    "mnist": Credit(
        source="Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST database of handwritten digits",
        licence="CC BY-SA 3.0, copyright Yann LeCun and Corinna Cortes, as Keras states it; Hugging Face states MIT",
    ),
    "fashion-mnist": Credit(
        source="H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine "
        "Learning Algorithms, arXiv:1708.07747 (2017); Zalando SE",
        licence="MIT",
    ),
    "kmnist": Credit(
        source="KMNIST Dataset (created by CODH), adapted from Kuzushiji Dataset (created by NIJL and others), "
        "doi:10.20676/00000341",
        licence="CC BY-SA 4.0",
    ),
    "digits": Credit(
        source="E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning Repository "
        "(1998), doi:10.24432/C50P49; its test images, as scikit-learn has them",
        licence="CC BY 4.0",
    ),
}


def find_credit(name: str, own: Mapping[str, Credit]) -> Credit:
    """Return the credit of a data set: from `own`, else from CREDITS if the data set is built in, else NO_CREDIT."""
    return own.get(name) or CREDITS.get(name, NO_CREDIT)

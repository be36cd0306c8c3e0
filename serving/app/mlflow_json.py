"""Check MLflow's four JSON forms before MLflow reads them, because MLflow also accepts "7" and true as numbers."""

import json
import math
from functools import partial
from itertools import accumulate, chain
from operator import mul
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from serving.model import Classifier

FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")
# A body with more values is given to MLflow as flat rows, which takes half the time: it copies nested lists number by
# number.
MAX_NESTED_VALUES = 16_000


class FormError(ValueError):
    """A body can't be answered; the text is one sentence for the client."""


def count_signs(shape: tuple[int, ...], images: int) -> tuple[int, int]:
    """Return how many opening brackets, and how many commas, a body with `images` images of `shape` may have.

    A body with more has too many images, or is made to overload the parser.
    """
    lists = sum(accumulate(shape[:-1], mul, initial=1))
    return images * (lists + 3) + 100, images * (math.prod(shape) + 4) + 100


def parse(body: bytes, model: "Classifier") -> tuple[dict[str, Any], int]:
    """Return a JSON body as MLflow takes it, {form: value}, and the number of images; FormError if it is wrong."""
    brackets, commas = count_signs(model.shape, model.max_images)
    if body.count(b"[") + body.count(b"{") > brackets or body.count(b",") > commas:
        raise FormError(f"too many values: at most {model.max_images:,} {model.expected}, are allowed in a request")
    try:
        content = json.loads(body.decode(), parse_constant=partial(reject_constant, model.expected))
    except FormError:
        raise
    except (ValueError, RecursionError):
        raise FormError("the body is not JSON in UTF-8") from None
    given = [form for form in FORMS if form in content] if type(content) is dict else []
    if len(given) != 1 or content.keys() - {*given, "params"}:
        raise FormError(f"expected a JSON object with one of {', '.join(FORMS)}")
    (form,) = given
    values = math.prod(model.shape)
    if form in ("inputs", "instances"):
        sides = "".join(f"[{side}]" for side in model.shape)
        images = validate_rows(content[form], model, model.shape, f"in a list [n]{sides}")
        if len(images) * values <= MAX_NESTED_VALUES:
            return {form: images}, len(images)
        return as_split([[flatten(image, len(model.shape) - 1)] for image in images])
    rows = read_split(content[form]) if form == "dataframe_split" else read_records(content[form])
    return as_split(validate_rows(rows, model, (1, values), f"in n rows of one column that holds {values} numbers"))


def flatten(nested: list[Any], depth: int) -> list[Any]:
    """Return the numbers in lists that are nested `depth` times."""
    for _ in range(depth):
        nested = list(chain.from_iterable(nested))
    return nested


def as_split(rows: list[Any]) -> tuple[dict[str, Any], int]:
    """Return rows of one column, as MLflow takes them, and their number."""
    return {"dataframe_split": {"columns": ["pixels"], "data": rows}}, len(rows)


def reject_constant(expected: str, name: str) -> NoReturn:
    """Raise FormError for NaN and Infinity, which Python's parser accepts although JSON has neither."""
    raise FormError(f"expected {expected}; got {name}")


def validate_rows(rows: object, model: "Classifier", shape: tuple[int, ...], layout: str) -> list[Any]:
    """Return `rows` if they are nested lists [n, *shape] of pixels, 1 ≤ n ≤ max_images; FormError if they aren't.

    `layout` is the shape in words. Pixels are numbers 0…255; they are refused if they are scaled to 0…1.
    """
    expected = f"expected {model.expected}"
    if type(rows) is not list or not rows:
        raise FormError(f"{expected}, {layout}, n at least 1")
    if len(rows) > model.max_images:
        raise FormError(f"at most {model.max_images:,} images are allowed in a request; got {len(rows):,}")
    flat = rows
    for length in shape:
        if any(type(item) is not list or len(item) != length for item in flat):
            raise FormError(f"{expected}, {layout}")
        flat = list(chain.from_iterable(flat))
    # type() instead of isinstance(), because True is an int, too.
    if not set(map(type, flat)) <= {int, float}:
        raise FormError(f"{expected}; got something that is no number")
    if min(flat) < 0 or max(flat) > 255:
        raise FormError(f"{expected}; got a number outside that range")
    if 0 < max(flat) <= 1:
        raise FormError(f"{expected}; got numbers from 0 to 1 alone: multiply them by 255")
    return rows


def read_split(value: object) -> object:
    """Return the rows of dataframe_split. An index is accepted and ignored; a column may have any name."""
    if type(value) is not dict or "data" not in value or value.keys() - {"columns", "index", "data"}:
        raise FormError("expected dataframe_split to have data, columns with one name, and no other key but index")
    columns = value.get("columns", ["pixels"])
    if type(columns) is not list or len(columns) != 1:
        raise FormError("expected dataframe_split to have one column")
    return value["data"]


def read_records(value: object) -> list[Any]:
    """Return the rows of dataframe_records; FormError unless each has the same one column."""
    if type(value) is not list or any(type(row) is not dict or len(row) != 1 for row in value):
        raise FormError("expected dataframe_records to be a list of objects with one column each")
    if len(set(chain.from_iterable(value))) > 1:
        raise FormError("expected dataframe_records to have the same column in each record")
    return [list(row.values()) for row in value]

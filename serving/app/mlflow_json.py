"""MLflow's four JSON forms, checked before MLflow reads them, because it is lax: it takes "7" and true for numbers."""

import json
from itertools import chain
from typing import Any, NoReturn

MAX_IMAGES, SIDE = 1000, 28
FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")
# A body has at most this many brackets and commas: more could only be too many images, or a trap for the parser.
MAX_BRACKETS = MAX_IMAGES * (SIDE + 4) + 100
MAX_COMMAS = MAX_IMAGES * (SIDE * SIDE + 4) + 100
# Of more images, MLflow takes flat rows in half the time, because it copies nested lists number by number.
MAX_NESTED_IMAGES = 20

EXPECTED = "expected images of 28×28 pixels, each a number from 0 (background) to 255 (ink)"


class FormError(ValueError):
    """A body can't be answered; the text is one sentence for the client."""


def parse(body: bytes) -> tuple[dict[str, Any], int]:
    """Return what MLflow needs of a JSON body, {form: value}, and the number of images; FormError if any is wrong."""
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS or body.count(b",") > MAX_COMMAS:
        raise FormError(f"too many values: at most {MAX_IMAGES:,} images of 28×28 pixels are allowed in a request")
    try:
        content = json.loads(body.decode(), parse_constant=reject_constant)
    except FormError:
        raise
    except (ValueError, RecursionError):
        raise FormError("the body is not JSON in UTF-8") from None
    given = [form for form in FORMS if form in content] if type(content) is dict else []
    if len(given) != 1 or content.keys() - {*given, "params"}:
        raise FormError(f"expected a JSON object with one of {', '.join(FORMS)}")
    (form,) = given
    if form in ("inputs", "instances"):
        images = validate_rows(content[form], (SIDE, SIDE), "in a list [n][28][28]")
        if len(images) <= MAX_NESTED_IMAGES:
            return {form: images}, len(images)
        return as_split([[list(chain.from_iterable(image))] for image in images])
    rows = read_split(content[form]) if form == "dataframe_split" else read_records(content[form])
    return as_split(validate_rows(rows, (1, SIDE * SIDE), "in n rows of one column that holds 784 numbers"))


def as_split(rows: list[Any]) -> tuple[dict[str, Any], int]:
    """Return rows of one column, as MLflow takes them, and their number."""
    return {"dataframe_split": {"columns": ["pixels"], "data": rows}}, len(rows)


def reject_constant(name: str) -> NoReturn:
    """Refuse NaN and Infinity, which Python's parser takes though JSON has neither."""
    raise FormError(f"{EXPECTED}; got {name}")


def validate_rows(rows: object, shape: tuple[int, int], layout: str) -> list[Any]:
    """Return `rows` if they are nested lists of 1 to MAX_IMAGES times that shape, with pixels in them; or FormError."""
    if type(rows) is not list or not rows:
        raise FormError(f"{EXPECTED}, {layout}, n at least 1")
    if len(rows) > MAX_IMAGES:
        raise FormError(f"at most {MAX_IMAGES:,} images are allowed in a request; got {len(rows):,}")
    flat = rows
    for length in shape:
        if any(type(item) is not list or len(item) != length for item in flat):
            raise FormError(f"{EXPECTED}, {layout}")
        flat = list(chain.from_iterable(flat))
    # type(), because True is an int as well.
    if not set(map(type, flat)) <= {int, float}:
        raise FormError(f"{EXPECTED}; got something that is no number")
    if min(flat) < 0 or max(flat) > 255:
        raise FormError(f"{EXPECTED}; got a number outside of that")
    if 0 < max(flat) <= 1:
        raise FormError(f"{EXPECTED}; got numbers from 0 to 1 alone: multiply them by 255")
    return rows


def read_split(value: object) -> object:
    """Return the rows of dataframe_split. An index is accepted and ignored; a column may have any name."""
    if type(value) is not dict or "data" not in value or value.keys() - {"columns", "index", "data"}:
        raise FormError("expected dataframe_split to have columns (one) and data, and at most an index beside them")
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

"""MLflow's four JSON forms, checked before MLflow reads them, because it is lax: it takes "7" and true for numbers."""

import json
from itertools import chain

MAX_IMAGES, SIDE = 1000, 28
FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records")
# A body has at most this many brackets and commas: more could only be too many images, or a trap for the parser.
MAX_BRACKETS = MAX_IMAGES * (SIDE + 4) + 100
MAX_COMMAS = MAX_IMAGES * (SIDE * SIDE + 4) + 100

EXPECTED = "expected images of 28×28 pixels, each a number from 0 (background) to 255 (ink)"


class FormError(ValueError):
    """A body that can't be answered; the text is one sentence for whoever sent it."""


def parse(body: bytes) -> dict:
    """The one form in a JSON body, as {form: value}, its pixels and their number checked; FormError otherwise."""
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS or body.count(b",") > MAX_COMMAS:
        raise FormError(f"too many values: at most {MAX_IMAGES:,} images of 28×28 pixels are allowed in a request")
    try:
        content = json.loads(body.decode(), parse_constant=no_number)
    except FormError:
        raise
    except (ValueError, RecursionError):
        raise FormError("the body is not JSON in UTF-8") from None
    given = [form for form in FORMS if form in content] if isinstance(content, dict) else []
    if len(given) != 1 or content.keys() - {given[0], "params"}:
        raise FormError(f"expected a JSON object with one of {', '.join(FORMS)}")
    (form,) = given
    check(form, content[form])
    return {form: content[form]}


def no_number(name: str) -> None:
    raise FormError(f"{EXPECTED}; got {name}")


def check(form: str, value: object) -> None:
    """FormError unless `value` is what `form` needs: images [n][28][28], or n rows of one column of 784 numbers."""
    if form == "dataframe_split":
        value = split_rows(value)
    elif form == "dataframe_records":
        value = record_rows(value)
    shape = (SIDE, SIDE) if form in ("inputs", "instances") else (1, SIDE * SIDE)
    text = "[n][28][28]" if form in ("inputs", "instances") else "of n rows with one column of 784 numbers"
    if type(value) is not list or not value:
        raise FormError(f"{EXPECTED}, in a list {text}, n at least 1")
    if len(value) > MAX_IMAGES:
        raise FormError(f"at most {MAX_IMAGES:,} images are allowed in a request")
    flat = value
    for length in shape:
        if any(type(item) is not list or len(item) != length for item in flat):
            raise FormError(f"{EXPECTED}, in a list {text}")
        flat = list(chain.from_iterable(flat))
    # type(), because True is an int as well.
    if not set(map(type, flat)) <= {int, float}:
        raise FormError(f"{EXPECTED}; got something that is no number")
    if not (min(flat) >= 0 and max(flat) <= 255):
        raise FormError(f"{EXPECTED}; got a number outside of that")


def split_rows(value: object) -> object:
    """The rows of dataframe_split; FormError unless all else in it belongs to them."""
    if type(value) is not dict or value.keys() - {"columns", "index", "data"} or type(value.get("data")) is not list:
        raise FormError("expected dataframe_split to have columns (one) and data, and at most an index beside them")
    rows = value["data"]
    columns, index = value.get("columns", ["pixels"]), value.get("index", range(len(rows)))
    if type(columns) is not list or [type(name) for name in columns] != [str]:
        raise FormError("expected dataframe_split to have one column, with a name")
    if len(index) != len(rows) if isinstance(index, (list, range)) else index is not None:
        raise FormError("expected dataframe_split's index to have an entry for each row")
    return rows


def record_rows(value: object) -> object:
    """The rows of dataframe_records; FormError unless each has the same one column."""
    if type(value) is not list or any(type(row) is not dict or len(row) != 1 for row in value):
        raise FormError("expected dataframe_records to be a list of objects with one column each")
    if len(set(chain.from_iterable(value))) > 1:
        raise FormError("expected dataframe_records to have the same column in each record")
    return [list(row.values()) for row in value]

"""What every section of params.yaml has in common: strict types, and no unknown keys."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, lt=1)]
# For keys that were added later: a receipt leaves out such a key if unset, so older models keep their content key.
LeftOutIfUnset = Field(exclude_if=lambda value: not value)


def require_known(name: str, allowed: Iterable[str], what: str) -> None:
    """Raise ValueError, with the allowed names, unless `name` is one of them."""
    allowed = list(allowed)
    if name in allowed:
        return
    close = get_close_matches(str(name), allowed, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise ValueError(f"unknown {what} {name!r}{hint}; allowed: {', '.join(sorted(allowed, key=str.lower)) or 'none'}")


def spelled(pattern: str, expected: str) -> AfterValidator:
    """Return a validator for text that must match `pattern`; its error says in words what is `expected`."""

    def require(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} should be {expected}")
        return value

    return AfterValidator(require)


class Section(BaseModel):
    """A mapping in params.yaml: it is immutable, doesn't convert types, and refuses unknown keys."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
    renamed_keys: ClassVar[dict[str, str]] = {}  # keys of older versions, and their present names

    @model_validator(mode="before")
    @classmethod
    def _require_known_keys(cls, values: Any) -> Any:
        keys = list(values) if isinstance(values, dict) else []
        if renamed := [f"{key} is called {cls.renamed_keys[key]} now" for key in keys if key in cls.renamed_keys]:
            raise ValueError(f"keys have new names: {', '.join(renamed)}")
        for key in keys:
            require_known(key, cls.model_fields, "key")
        return values

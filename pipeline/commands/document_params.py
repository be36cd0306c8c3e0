"""Write docs/parameters.md from the schema of params.yaml: `make docs`.

Every key's description is the docstring below its field, so the page can't say anything else than the code.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from pipeline.cli import run
from pipeline.config import keras_names, keras_objects
from pipeline.config.keras_objects import KerasObject
from pipeline.config.params import Params
from pipeline.config.section import Section

PAGE = Path("docs/parameters.md")
HEAD = """# Parameters

<!-- Generated from pipeline/config by `make docs`; a test compares. Edit the docstrings there, not this page. -->

Every key that [`params.yaml`](../params.yaml) may have. Each stage reads and checks the whole file before it imports
anything heavy: an unknown key, a wrong type or a number outside its limits stops it, with a message that names the key
and what is allowed. `python -m pipeline.commands.check_params` only checks.

A dotted path such as `models.dense_512.dense.0.units` is what `dvc exp run -S` takes; a number is a place in a list,
from 0. A key without a default is required.
"""
KIND = "Says which kind of section this is."
KERAS_HEAD = """## Keras objects

An optimizer, loss, activation or initializer is a name, or a name with arguments: `optimizer: Adam` or
`optimizer: {name: Adam, beta_1: 0.8}`. Names are Keras' own; capitals and underscores don't matter. What an argument
does is described in Keras' documentation; one that is left out keeps Keras' default.
"""
# What params.yaml writes for each of Python's types.
PLAIN_TYPES: dict[object, str] = {
    bool: "`true` or `false`", int: "whole number", float: "number", str: "text", NoneType: "`null`", Any: "any value",
}  # fmt: skip
# Pydantic's names of limits, and how the page shows each.
LIMITS = {"gt": "> {}", "ge": "≥ {}", "lt": "< {}", "le": "≤ {}", "min_length": "(at least {})"}
# The singular and plural of each kind of Keras object, its type in the schema, and its names.
KERAS_KINDS = (
    ("optimizer", "optimizers", keras_objects.Optimizer, keras_names.OPTIMIZERS),
    ("loss", "losses", keras_objects.Loss, keras_names.LOSSES),
    ("activation", "activations", keras_objects.Activation, keras_names.ACTIVATIONS),
    ("initializer", "initializers", keras_objects.Initializer, keras_names.INITIALIZERS),
)


def main() -> None:
    """Write the page."""
    PAGE.write_text(render_page())
    print(f"{PAGE} is written")


def render_page() -> str:
    """Return the whole page in Markdown."""
    sections = {found: path for path, found in reversed(list(find_sections(Params, "")))}
    parts = [HEAD, *(render_section(found, path, sections) for found, path in reversed(sections.items()))]
    parts += [KERAS_HEAD, *(render_names(plural, table) for _, plural, _, table in KERAS_KINDS), render_values()]
    return "\n".join(parts)


def find_sections(section: type[Section], path: str) -> Iterator[tuple[str, type[Section]]]:
    """Yield the section and those below it, each with its dotted path, in the order of their fields."""
    yield path, section
    for key, field in section.model_fields.items():
        place = f"{path}.{key}" if path else key
        for below, found in nested_sections(field.annotation, place):
            yield from find_sections(found, below)


def nested_sections(annotation: object, path: str) -> Iterator[tuple[str, type[Section]]]:
    """Yield the sections that a type contains, with their paths; in lists and mappings, with a placeholder."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        yield path, annotation
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is tuple:
        path, arguments = f"{path}.<number>", arguments[:1]
    elif origin is dict:
        path, arguments = f"{path}.<name>", arguments[1:]
    elif origin is Annotated:
        arguments = arguments[:1]
    for argument in () if origin is Literal else arguments:
        yield from nested_sections(argument, path)


def render_section(section: type[Section], path: str, sections: Mapping[type[Section], str]) -> str:
    """Return a heading, the section's description and a table of its keys."""
    rows = [
        (
            f"`{key}`",
            describe_type(field.annotation, field.metadata, sections),
            describe_default(field),
            one_line(field.description or KIND),
        )
        for key, field in section.model_fields.items()
    ]
    lines = [f"## {heading(section, path)}", "", one_line(section.__doc__ or ""), ""]
    lines += table(("key", "value", "default", "meaning"), rows)
    if section.renamed_keys:
        renamed = ", ".join(f"`{old}` is called `{new}` now" for old, new in section.renamed_keys.items())
        lines += ["", f"Renamed keys: {renamed}."]
    return "\n".join(lines) + "\n"


def heading(section: type[Section], path: str) -> str:
    """Return a section's heading: its path, and the key that tells it from others in the same place."""
    kinds = [
        f"`{key}: {get_args(field.annotation)[0]}`"
        for key, field in section.model_fields.items()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
    ]
    return " with ".join([f"`{path}`" if path else "Top level", *kinds])


def describe_type(annotation: object, metadata: Iterable[object], sections: Mapping[type[Section], str]) -> str:
    """Return a type and its limits in words; a section is a link to its table."""
    # Every kind of type that the schema uses has one branch here; another one ends in a KeyError, which a test shows.
    metadata, origin, arguments = list(metadata), get_origin(annotation), get_args(annotation)
    for singular, plural, kind, _ in KERAS_KINDS:
        if get_args(kind)[1] in metadata:
            article = "an" if singular[0] in "aeiou" else "a"
            return f"{article} [{singular}](#{plural})"
    if origin is Annotated:
        return describe_type(arguments[0], [*arguments[1:], *metadata], sections)
    if isinstance(annotation, type) and annotation in sections:
        title = heading(annotation, sections[annotation])
        return f"[{annotation.__name__}](#{slug(title)})"
    if origin in (Union, UnionType):
        return " or ".join(describe_type(argument, (), sections) for argument in arguments)
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin is tuple:
        text = f"list of {describe_type(arguments[0], (), sections)}"
    elif origin is dict:
        text = f"mapping of names to {describe_type(arguments[1], (), sections)}"
    else:
        text = PLAIN_TYPES[annotation]
    return text + describe_limits(metadata)


def describe_limits(metadata: Iterable[object]) -> str:
    """Return the limits of a number or a length, after a space; nothing if there are none."""
    flat = [limit for item in metadata for limit in (item.metadata if isinstance(item, FieldInfo) else [item])]
    limits = [
        form.format(bound)
        for limit in flat
        for name, form in LIMITS.items()
        if (bound := getattr(limit, name, None)) is not None
    ]
    return f" {', '.join(limits)}" if limits else ""


def describe_default(field: FieldInfo) -> str:
    """Return a key's default as params.yaml would write it; a dash if the key is required."""
    if field.is_required():
        return "–"
    if isinstance(field.default, KerasObject):
        return f"`{field.default.name}`"
    value = field.default.model_dump() if isinstance(field.default, Section) else field.default
    text = json.dumps(value, ensure_ascii=False).replace('"', "")
    return f"`{text}`"


def render_names(plural: str, names: Mapping[str, tuple[str, ...]]) -> str:
    """Return the table of one kind of Keras object: its names and the arguments of each."""
    first = next(iter(names.values()))
    shared = [argument for argument in first if all(argument in own for own in names.values())]
    lines = [f"### {plural.capitalize()}", ""]
    if shared:
        lines += [f"All {plural} take {code(shared)}. Some have arguments of their own:", ""]
    arguments = {name: [key for key in own if key not in shared] for name, own in names.items()}
    lines += table(("name", "arguments"), [(f"`{name}`", code(own)) for name, own in arguments.items() if own])
    if plain := [name for name, own in arguments.items() if not own]:
        lines += ["", f"Without arguments{' of their own' if shared else ''}: {code(plain)}."]
    return "\n".join(lines) + "\n"


def render_values() -> str:
    """Return the allowed values of the arguments of Keras objects."""
    words = "; ".join(
        f"`{key}` is {' or '.join(f'`{word}`' for word in own)}" for key, own in keras_names.WORDS.items()
    )
    return (
        f"### Values of arguments\n\n{code(sorted(keras_names.FLAGS))} are `true` or `false`; "
        f"{code(sorted(keras_names.COUNTS))} are whole numbers above 0; {words}. All others are numbers; "
        "`learning_rate` is above 0.\n"
    )


def table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [titles, ("---",) * len(titles), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def code(words: Iterable[str]) -> str:
    """Return words as code, with commas between them."""
    return ", ".join(f"`{word}`" for word in words)


def one_line(text: str) -> str:
    """Return a docstring on one line, so that Markdown takes no `<name>` in it for HTML."""
    parts = " ".join(text.split()).split("`")
    return "`".join(part if place % 2 else part.replace("<", "&lt;") for place, part in enumerate(parts))


def slug(title: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


if __name__ == "__main__":
    run(main)

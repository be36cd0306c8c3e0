"""Messages for faults in params.yaml."""

from pydantic import ValidationError

# The keys that say which kind of section it is, and their values.
KINDS = {"family": "perceptron, dense, cnn", "name": "cosine_decay, exponential_decay"}


def explain(error: ValidationError) -> list[str]:
    """Return one line per fault: the key as it is written in params.yaml, and which values are allowed there."""
    lines = []
    for fault in error.errors(include_url=False):
        place = list(fault["loc"])
        if len(place) > 2 and place[0] == "models":
            del place[2]  # pydantic inserts the family after the model's name …
        if "schedule" in place[:-1]:
            del place[place.index("schedule") + 1]  # … and the schedule's name after `schedule`
        place = [part for part in place if part != "[key]"]
        message = fault["msg"].removeprefix("Value error, ").replace("a valid tuple", "a list")
        context = fault.get("ctx", {})
        given = "" if isinstance(fault["input"], dict | list) else f", not {fault['input']!r}"
        if fault["type"] == "missing":
            message = "this key is missing"
        elif fault["type"] == "too_short":
            if len(fault["input"]) >= context["min_length"]:
                continue  # pydantic doesn't count entries with faults, which have lines of their own
            message = f"Input should have at least {context['min_length']} entry, not {len(fault['input'])}"
        elif fault["type"].startswith("union_tag"):
            key = context["discriminator"].strip("'")
            problem = f"unknown {key} {context['tag']!r}" if "tag" in context else f"the key {key} is missing"
            message = f"{problem}; allowed: {KINDS[key]}"
        elif fault["type"] == "model_attributes_type":  # it has no keys, so no name and no family
            key = "family" if len(place) == 2 else "name"  # models.<name>, or its schedule
            message = f"write {{{key}: …, key: value}}{given}; allowed: {KINDS[key]}"
        elif fault["type"] in ("dict_type", "model_type"):
            message = f"Input should be a mapping, such as {{key: value}}{given}"
        elif fault["type"] != "value_error":
            message += given
        lines.append(": ".join([".".join(map(str, place)), message] if place else [message]))
    return lines

"""Messages for faults in params.yaml."""

from pydantic import ValidationError


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
        if fault["type"] == "missing":
            message = "this key is missing"
        elif fault["type"] == "too_short":
            if len(fault["input"]) >= context["min_length"]:
                continue  # pydantic doesn't count entries with faults, which have lines of their own
            message = f"Input should have at least {context['min_length']} entry, not {len(fault['input'])}"
        elif fault["type"].startswith("union_tag"):
            key = context["discriminator"].strip("'")
            given = f"unknown {key} {context['tag']!r}" if "tag" in context else f"the key {key} is missing"
            allowed = {"family": "perceptron, dense, cnn", "name": "cosine_decay, exponential_decay"}[key]
            message = f"{given}; allowed: {allowed}"
        elif fault["type"] != "value_error" and not isinstance(fault["input"], dict | list):
            message += f", not {fault['input']!r}"
        lines.append(": ".join([".".join(map(str, place)), message] if place else [message]))
    return lines

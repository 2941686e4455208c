"""From pydantic's errors to one sentence a field: name, value, rule, what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from engines.contract import Params, Refusal

P = TypeVar("P", bound=Params)


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field."""

    field: str
    value: Any
    sentence: str


class Refused(ValueError):
    """Parameters that break a rule; `errors` has one entry for each field that is wrong."""

    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__(" ".join(error.sentence for error in errors))
        self.errors = errors


def validate(model: type[P], values: Mapping[str, Any]) -> P:
    """The params of `values`, or `Refused` with a sentence for each field that is wrong.

    Text is read as the field's type, so that a form, a command line and JSON go the same way."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise Refused(_explain(model, error)) from error


def _explain(model: type[Params], error: ValidationError) -> list[FieldError]:
    found: dict[str, FieldError] = {}
    for item in error.errors(include_url=False):
        cause = item.get("ctx", {}).get("error")
        if isinstance(cause, Refusal):
            given = item["input"]
            value = given.get(cause.field) if isinstance(given, Mapping) else given if item["loc"] else None
            found.setdefault(cause.field, FieldError(cause.field, value, cause.sentence))
            continue
        name = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            sentence = f"{name} is not a parameter here. Known parameters: {known}."
        elif name in model.model_fields:
            rule = field_rule(model.model_fields[name])
            sentence = f"{name} must be {rule}; got {_shown(item['input'])}."
        else:
            sentence = f"{name + ': ' if name else ''}{item['msg']}."
        found.setdefault(name, FieldError(name, item["input"], sentence))
    return list(found.values())


def field_rule(info: FieldInfo) -> str:
    """What a field allows, in words: "a whole number from 1 to 200 (entries)"."""
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    unit = str(extra.get("unit") or "")
    kind, choices = _kind(info.annotation)
    bounds = field_bounds(info)
    words = kind
    if choices:
        words += " " + ", ".join(choices)
    if kind.startswith(("a number", "a whole number", "numbers", "whole numbers")):
        words += _range_words(bounds)
    elif "max_length" in bounds:
        words += f" of at most {bounds['max_length']} characters"
    if bounds.get("multiple_of"):
        words += f", a multiple of {bounds['multiple_of']}"
    return words + (f" ({unit})" if unit else "")


def field_bounds(info: FieldInfo) -> dict[str, Any]:
    """Declared limits of a field: ge, gt, le, lt, multiple_of, min_length, max_length, pattern."""
    bounds: dict[str, Any] = {}
    for item in info.metadata:
        for name in ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern"):
            value = getattr(item, name, None)
            if value is not None:
                bounds[name] = value
    return bounds


def _kind(annotation: Any) -> tuple[str, list[str]]:
    from typing import Literal, get_args, get_origin

    origin = get_origin(annotation)
    if origin is Literal:
        return "one of", [str(choice) for choice in get_args(annotation)]
    if origin in (list, tuple, set, frozenset):
        inner, choices = _kind(get_args(annotation)[0])
        plural = {"one of": "some of", "a number": "numbers", "a whole number": "whole numbers"}
        return plural.get(inner, "a list"), choices
    if annotation is bool:
        return "yes or no (true or false)", []
    if annotation is int:
        return "a whole number", []
    if annotation is float:
        return "a number", []
    return "text", []


def _range_words(bounds: Mapping[str, Any]) -> str:
    low = bounds.get("ge", bounds.get("gt"))
    high = bounds.get("le", bounds.get("lt"))
    above = "above " if "gt" in bounds else ""
    below = "below " if "lt" in bounds else ""
    if low is not None and high is not None:
        if above or below:
            return f" {above or 'at least '}{low:g} and {below or 'at most '}{high:g}"
        return f" from {low:g} to {high:g}"
    if low is not None:
        return f" {above or 'at least '}{low:g}"
    if high is not None:
        return f" {below or 'at most '}{high:g}"
    return ""


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."

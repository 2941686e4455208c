"""What a program gave an endpoint, checked: each refusal names the argument, the rule and the value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engines.contract import Engine
from workbench.errors import UsageError
from workbench.sweep_access import no_files
from workbench.sweep_axes import Axis, parse_axes

LONGEST = 60


def said(value: Any) -> str:
    """A value in a sentence."""
    if value is None:
        return "nothing"
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = str(type(value).__name__)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def text(name: str, value: Any, *, default: str | None = None) -> str:
    """A text. Raises UsageError for anything else; nothing at all is `default` where there is one."""
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        raise UsageError(f"{name} must be a text; got {said(value)}.")
    return value


def one_of(name: str, value: Any, allowed: Sequence[str], *, may_be_empty: bool = False) -> str:
    """One of some words. Raises UsageError."""
    found = text(name, value, default="" if may_be_empty else None)
    if found in allowed or (may_be_empty and not found):
        return found
    raise UsageError(
        f"{name} must be one of {', '.join(allowed)}{', or empty' if may_be_empty else ''}; got {said(value)}."
    )


def whole(name: str, value: Any, low: int, high: int, default: int) -> int:
    """A whole number between two. Raises UsageError."""
    if value is None:
        return default
    if isinstance(value, float) and value.is_integer():  # JSON of a language without whole numbers
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"{name} must be a whole number from {low} to {high}; got {said(value)}.")
    return value


def named(name: str, value: Any) -> dict[str, Any]:
    """An object: values by name. Raises UsageError."""
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise UsageError(
            f'{name} must be an object with a value for each name, such as {{"rank": 4}}; got {said(value)}.'
        )
    return dict(value)


def axes(engine: Engine, value: Any) -> tuple[Axis, ...]:
    """The axes of a sweep: for each parameter a list of values, or the text that the command line takes (`5:50:5`).

    Raises UsageError, InvalidParams."""
    found = []
    for name, values in named("over", value).items():
        if isinstance(values, list):
            [axis] = parse_axes(engine, [f"{name}={json.dumps(values)}"], no_files)
        elif isinstance(values, str) and values.strip():
            [axis] = parse_axes(engine, [f"{name}={values}"], no_files)
        else:
            raise UsageError(
                f"over.{name} must be a list of values, or a text such as 5:50:5; got {said(values)}."
            )
        found.append(axis)
    return tuple(found)

"""The axes of a sweep as people write them: `rank=5:50:5`, `rate=1e-4:1e-1:*10`, `fraction=.1,.2,.4`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

from engines.contract import Engine, upload_fields
from engines.validation import FieldError
from workbench.errors import InvalidParams, UsageError
from workbench.values import Ingest, parse, parse_assignments

MAX_AXES = 3
MAX_VALUES = 200
_RANGE = re.compile(r"[^:,\[\]]+:[^:,\[\]]+(:[^:,\[\]]+)?")
_HOW = "a range is start:stop, start:stop:step or start:stop:*factor, stop included"


@dataclass(frozen=True)
class Axis:
    """One parameter and the values that it takes, in the order in which they are shown."""

    name: str
    values: tuple[Any, ...]


def parse_axes(engine: Engine, words: Iterable[str], ingest: Ingest) -> tuple[Axis, ...]:
    """The axes of `name=values` words. Values are a list by commas, a JSON list (also for parameters that are lists
    themselves), or a range of numbers with its end included.

    Raises UsageError for what cannot be read, InvalidParams for a name that the engine does not know. Whether a
    value is allowed is not looked at here."""
    axes: list[Axis] = []
    for word in words:
        name, equals, text = (part.strip() for part in word.partition("="))
        if not equals or not name or not text:
            raise UsageError(f"--over takes name=values such as rank=2,5,10 or rank=5:50:5; got {word!r}.")
        if name in ("seed", "seeds") and name not in engine.params.model_fields:
            raise UsageError(
                "The seed is no axis: --seeds N gives every cell N seeds, counted from --seed (0 by itself)."
            )
        parse_assignments(engine, [f"{name}="], ingest)  # refuses a name that is no parameter
        axes.append(Axis(name, tuple(_values(engine, name, text, ingest))))
    return check_axes(axes)


def check_axes(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """One to three axes of different parameters, none with a value twice. Raises UsageError, InvalidParams."""
    found = tuple(axes)
    if not 1 <= len(found) <= MAX_AXES:
        raise UsageError(
            f"A sweep has one to three axes; got {len(found)}. Name each with --over name=values."
        )
    for place, axis in enumerate(found):
        if any(axis.name == other.name for other in found[:place]):
            raise UsageError(f"{axis.name} stands on two axes; give all its values on one.")
        if not 1 <= len(axis.values) <= MAX_VALUES:
            raise _wrong(
                axis.name, axis.values, f"must have 1 to {MAX_VALUES} values; got {len(axis.values)}"
            )
        shown = [key_of(value) for value in axis.values]
        if twice := next((text for text in shown if shown.count(text) > 1), None):
            raise _wrong(axis.name, twice, f"must not have a value twice; got {twice} again")
    return found


def key_of(value: Any) -> str:
    """A value in a form in which equal ones are equal: 1 and 1.0, a tuple and the list that a record has of it."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    return json.dumps(value, sort_keys=True, default=list)


def text_of(values: Iterable[Any]) -> str:
    """Values as `parse_axes` reads them back."""
    items = list(values)
    plain = all(isinstance(item, int | float) and not isinstance(item, bool) for item in items)
    words = all(isinstance(item, str) and re.fullmatch(r"[^,\[\]:\s@]+", item) for item in items)
    if plain or words:
        return ",".join(map(str, items))
    return json.dumps(items, default=list)


def _values(engine: Engine, name: str, text: str, ingest: Ingest) -> list[Any]:
    annotation = engine.params.model_fields[name].annotation
    is_upload = name in upload_fields(engine.params)
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise _wrong(name, text, f"must be a JSON list of values; got {text[:60]!r}") from error
        return list(found)
    if not is_upload and _is_number(annotation) and _RANGE.fullmatch(text):
        return span(name, text, whole=annotation is int)
    if _is_list(annotation):
        example = '[["a"],["a","b"]]'
        raise _wrong(
            name, text, f"is a list itself: write its values as a JSON list of lists such as {example}"
        )
    words = [word.strip() for word in text.split(",")]
    if is_upload:
        return [ingest(Path(word[1:]).expanduser()) if word.startswith("@") else word for word in words]
    return [_switch(word) if annotation is bool else parse(annotation, word) for word in words if word]


def span(name: str, text: str, *, whole: bool) -> list[Any]:
    """The numbers of a range, its end included: `5:50:5`, `.1:.4:.1` (exact in decimals), `1:1000:*10`.

    Raises InvalidParams."""
    parts = text.split(":")
    factor = len(parts) == 3 and parts[2].strip().startswith("*")
    try:
        low, high = Decimal(parts[0].strip()), Decimal(parts[1].strip())
        step = Decimal(parts[2].strip().lstrip("*")) if len(parts) == 3 else Decimal(1)
        finite = low.is_finite() and high.is_finite() and step.is_finite()
    except InvalidOperation:
        finite = False
    if not finite:
        raise _wrong(name, text, f"cannot be read as a range; got {text!r}: {_HOW}")
    if high < low or (factor and (step <= 1 or low <= 0)) or (not factor and step <= 0):
        raise _wrong(name, text, f"needs a range that rises; got {text!r}: {_HOW}")
    found: list[Any] = []
    at = low
    while at <= high:
        if len(found) >= MAX_VALUES:
            raise _wrong(name, text, f"must have at most {MAX_VALUES} values; {text!r} has more")
        if whole and at != at.to_integral_value():
            raise _wrong(name, text, f"takes whole numbers; {text!r} also gives {at.normalize():f}")
        found.append(int(at) if whole else float(at))
        at = at * step if factor else at + step
    return found


def _is_number(annotation: Any) -> bool:
    return _bare(annotation) in (int, float)


def _is_list(annotation: Any) -> bool:
    return get_origin(_bare(annotation)) in (list, tuple, set, frozenset)


def _bare(annotation: Any) -> Any:
    """Without Annotated and "or None"."""
    if get_origin(annotation) is Annotated:
        return _bare(get_args(annotation)[0])
    rest = [item for item in get_args(annotation) if item is not type(None)]
    if len(rest) == 1 and type(None) in get_args(annotation):
        return _bare(rest[0])
    return annotation


def _switch(word: str) -> Any:
    words: Mapping[str, bool] = {
        "true": True,
        "on": True,
        "yes": True,
        "false": False,
        "off": False,
        "no": False,
    }
    return words.get(word.lower(), word)


def _wrong(name: str, value: Any, rule: str) -> InvalidParams:
    return InvalidParams([FieldError(name, value, f"{name} {rule}.")])

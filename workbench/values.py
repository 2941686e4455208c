"""From what people write (command line, form, API, a stored run) to the validated parameters of an engine."""

from __future__ import annotations

import json
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from engines.contract import Engine, Params, Refusal, upload_fields
from engines.validation import FieldError, Refused, validate
from workbench.errors import InvalidParams, UsageError, near_match

Ingest = Callable[[Path], str]
"""Stores a file and answers the value of an upload field: `sha256:<hash>/<name>`."""


MAX_SEED = 2**32 - 1
LONGEST_TAG = 64


def seed_of(seed: object) -> int:
    """The seed of a run; 0 where none was given. Raises InvalidParams."""
    if seed is None:
        return 0
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MAX_SEED:
        sentence = f"seed must be a whole number from 0 to {MAX_SEED}; got {seed!r}."
        raise InvalidParams([FieldError("seed", seed, sentence)])
    return seed


def tags_of(tags: str | Iterable[str]) -> tuple[str, ...]:
    """The tags of a run; a text alone is one tag. Raises UsageError."""
    words = (tags,) if isinstance(tags, str) else tuple(tags)
    for word in words:
        if not isinstance(word, str) or not word.strip() or len(word) > LONGEST_TAG or "," in word:
            raise UsageError(f"A tag must have 1 to {LONGEST_TAG} characters and no comma; got {word!r}.")
    return words


def params_of(engine: Engine, values: Mapping[str, Any], preset: str | None = None) -> Params:
    """The preset's values (none: the defaults) with `values` over them, validated.

    Raises InvalidParams with one sentence for each field that is wrong, or for an unknown preset."""
    known = engine.params.model_fields
    unknown = [name for name in values if name not in known]
    if unknown:
        raise InvalidParams([_unknown_field(engine, name, values[name]) for name in unknown])
    try:
        base = engine.preset(preset) if preset is not None else {}
        return validate(engine.params, {**base, **values})
    except Refused as error:
        raise InvalidParams(error.errors) from error
    except Refusal as error:  # of the preset's name
        raise InvalidParams([FieldError(error.field, preset, error.sentence)]) from error


def changes_from(engine: Engine, params: Mapping[str, Any], preset: str) -> dict[str, Any]:
    """Those of `params` that differ from the preset (an unknown or empty one: from the defaults), so that
    a command line shows only what was chosen. Nothing is validated."""
    base = {
        name: field.get_default(call_default_factory=True)
        for name, field in engine.params.model_fields.items()
    }
    base.update(engine.presets[preset].values if preset in engine.presets else {})
    return {
        name: value for name, value in params.items() if name not in base or not _equal(value, base[name])
    }


def parse_assignments(engine: Engine, assignments: Iterable[str], ingest: Ingest) -> dict[str, Any]:
    """The values of `name=value` words, read by the type of each field; the last word of a name wins.

    Raises UsageError for a word without "=", InvalidParams for a name that the engine does not know."""
    texts: dict[str, str] = {}
    for word in assignments:
        name, equals, text = word.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--set takes name=value; got {word!r}.")
        texts[name.strip()] = text
    unknown = [name for name in texts if name not in engine.params.model_fields]
    if unknown:
        raise InvalidParams([_unknown_field(engine, name, texts[name]) for name in unknown])
    uploads = upload_fields(engine.params)
    values: dict[str, Any] = {}
    for name, text in texts.items():
        if name in uploads and text.startswith("@"):
            values[name] = ingest(Path(text[1:]).expanduser())
        else:
            values[name] = parse(engine.params.model_fields[name].annotation, text)
    return values


def parse(annotation: Any, text: str) -> Any:
    """`text` as a value of the annotated type. What cannot be read that way stays text, so that validation
    answers with the field's rule and shows what was written."""
    origin = get_origin(annotation)
    arguments = get_args(annotation)
    if origin is Annotated:
        return parse(arguments[0], text)
    if origin in (Union, types.UnionType):
        inner = [item for item in arguments if item is not type(None)]
        if type(None) in arguments and text.strip().lower() in ("", "none", "null"):
            return None
        return parse(inner[0], text) if len(inner) == 1 else _json_or_text(text)
    if origin is Literal:
        return next((choice for choice in arguments if str(choice) == text.strip()), text)
    if origin in (list, tuple, set, frozenset):
        return _list(arguments[0] if arguments else str, text)
    if annotation in (int, float):
        return _number(text)
    if annotation in (str, bool):
        return text
    return _json_or_text(text)


def _list(item: Any, text: str) -> Any:
    """A JSON list, or words separated by commas."""
    if text.strip().startswith("["):
        return _json_or_text(text)
    return [parse(item, word.strip()) for word in text.split(",")] if text.strip() else []


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _equal(one: Any, other: Any) -> bool:
    """Equality in which a stored list equals the tuple that it came from."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _unknown_field(engine: Engine, name: str, value: Any) -> FieldError:
    hint = near_match(name, engine.params.model_fields)
    rest = f"Did you mean {hint}?" if hint else f"Its parameters: {', '.join(engine.params.model_fields)}."
    return FieldError(name, value, f"{name} is not a parameter of {engine.key}. {rest}")

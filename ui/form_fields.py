"""What the form shows for each parameter: read off the params model, so that form and validation cannot part."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from engines.contract import Engine, Params, upload_fields
from engines.validation import field_bounds

Kind = Literal[
    "slider", "number", "text", "lines", "segments", "select", "checks", "switch", "file", "hidden"
]

SEGMENT_CHARACTERS = 34
"""A Literal becomes a row of segments while its labels fit the form's column, a select box otherwise."""
SLIDER_STOPS = 20_000
"""More stops than this on a linear slider and a hand cannot find one: the field becomes a number box."""


@dataclass(frozen=True)
class Field:
    """One control of the form."""

    name: str
    title: str
    help: str
    unit: str
    kind: Kind
    default: Any
    advanced: bool
    group: str
    low: float | None = None
    high: float | None = None
    step: float | None = None
    log: bool = False
    whole: bool = False
    optional: bool = False
    many: bool = False
    """A tuple or list that is typed as text, items parted by commas or new lines."""
    options: tuple[tuple[str, str], ...] = ()
    suggestions: tuple[str, ...] = ()
    phrases: Mapping[str, Any] | None = None
    """Templates and words, as `engines.contract.Phrases` has them."""
    placeholder: str = ""
    accept: tuple[str, ...] = ()
    demo_max: float | None = None


def fields_of(model: type[Params]) -> tuple[Field, ...]:
    """The controls of a params model, in the order of its declaration."""
    uploads = upload_fields(model)
    return tuple(_field(name, info, name in uploads) for name, info in model.model_fields.items())


def grouped(fields: tuple[Field, ...]) -> dict[str, list[Field]]:
    """Advanced fields by heading, in the order in which the headings first appear."""
    groups: dict[str, list[Field]] = {}
    for field in fields:
        if field.advanced and field.kind != "hidden":
            groups.setdefault(field.group, []).append(field)
    return groups


def plain(value: Any) -> Any:
    """A parameter value as JSON has it: tuples as lists, everything else unchanged."""
    if isinstance(value, tuple | list | set | frozenset):
        return [plain(item) for item in value]
    return value


def preset_values(engine: Engine, preset: str) -> dict[str, Any]:
    """All values of the form under a preset: the defaults, and the preset's over them."""
    values = {
        name: info.get_default(call_default_factory=True) for name, info in engine.params.model_fields.items()
    }
    values.update(engine.preset(preset))
    return {name: plain(value) for name, value in values.items()}


def read_values(model: type[Params], raw: Mapping[str, Any]) -> dict[str, Any]:
    """What the page sent, as the params model reads it. Nothing is repaired: text that is no number goes on
    to the validation, which answers with the field's sentence."""
    known = {field.name: field for field in fields_of(model)}
    return {name: _read(known[name], value) if name in known else value for name, value in raw.items()}


def _read(field: Field, value: Any) -> Any:
    if isinstance(value, str) and field.kind not in ("text", "lines", "file"):
        value = value.strip()
        if field.optional and value == "":
            return None
    if field.many and isinstance(value, str):
        return tuple(part.strip() for part in value.replace("\n", ",").split(",") if part.strip())
    if isinstance(value, list):
        return tuple(value)
    return value


def _field(name: str, info: FieldInfo, is_upload: bool) -> Field:
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    annotation, optional = _without_none(info.annotation)
    bounds = field_bounds(info)
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    step = extra.get("step") or bounds.get("multiple_of")
    kind, many, choices = _kind(annotation, str(extra.get("widget") or "auto"), is_upload)
    labels: Mapping[str, str] = extra.get("labels") or {}  # type: ignore[assignment]
    options = tuple((str(choice), str(labels.get(str(choice), _words(choice)))) for choice in choices)
    if kind == "segments" and sum(len(label) + 3 for _, label in options) > SEGMENT_CHARACTERS:
        kind = "select"
    whole = annotation is int
    if kind == "slider" and not _can_slide(low, high, step, whole, bool(extra.get("log"))):
        kind = "number"
    return Field(
        name=name,
        title=info.title or name,
        help=info.description or "",
        unit=str(extra.get("unit") or ""),
        kind=kind,
        default=plain(info.get_default(call_default_factory=True)),
        advanced=bool(extra.get("advanced")),
        group=str(extra.get("group") or ""),
        low=low,
        high=high,
        step=_step(low, high, step, whole),
        log=bool(extra.get("log")) and low is not None and high is not None and high > 0,
        whole=whole,
        optional=optional,
        many=many,
        options=options,
        suggestions=tuple(str(word) for word in extra.get("suggestions") or ()),  # type: ignore[union-attr]
        phrases=extra.get("phrases"),  # type: ignore[arg-type]
        placeholder=str(extra.get("placeholder") or ""),
        accept=tuple(str(ending) for ending in extra.get("accept") or ()),  # type: ignore[union-attr]
        demo_max=extra.get("demo_max"),  # type: ignore[arg-type]
    )


def _kind(annotation: Any, widget: str, is_upload: bool) -> tuple[Kind, bool, tuple[Any, ...]]:
    """The control, whether it is a typed list, and the choices of a Literal."""
    origin = get_origin(annotation)
    if widget == "hidden":
        return "hidden", False, ()
    if is_upload or widget == "file":
        return "file", False, ()
    if origin is Literal:
        return ("select" if widget == "choice" else "segments"), False, get_args(annotation)
    if origin in (tuple, list, set, frozenset):
        inner, _ = _without_none(get_args(annotation)[0])
        if get_origin(inner) is Literal:
            return "checks", False, get_args(inner)
        return ("lines" if widget == "lines" else "text"), True, ()
    if annotation is bool:
        return "switch", False, ()
    if annotation in (int, float):
        return ("number" if widget == "number" else "slider"), False, ()
    return ("lines" if widget == "lines" else "text"), False, ()


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """`X | None` as X and True, anything else unchanged and False."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [kind for kind in get_args(annotation) if kind is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return annotation, False


def _can_slide(low: Any, high: Any, step: Any, whole: bool, log: bool) -> bool:
    if low is None or high is None:
        return False
    if log:
        return high > 0
    stops = (high - low) / (step or (1 if whole else (high - low) / 100))
    return stops <= SLIDER_STOPS


def _step(low: Any, high: Any, step: Any, whole: bool) -> float | None:
    """Step of a slider and of the arrow keys: as declared, 1 for whole numbers, else a round hundredth of the
    range."""
    if step:
        return float(step)
    if whole:
        return 1.0
    if low is None or high is None or high <= low:
        return None
    return 10.0 ** math.floor(math.log10((high - low) / 50))


def _words(choice: Any) -> str:
    """A value as a label: "scaled_gradient" as "Scaled gradient"; names with capitals or digits stay."""
    text = str(choice)
    if any(character.isupper() or character.isdigit() for character in text):
        return text
    return text.replace("_", " ")[:1].upper() + text.replace("_", " ")[1:]

"""The form's section "Sweep": which parameters vary, over which values, with how many seeds."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from engines.contract import Engine
from engines.validation import FieldError
from ui.form_fields import Field, fields_of, read_values
from workbench.errors import InvalidParams, UsageError
from workbench.sweep_access import no_files
from workbench.sweep_axes import MAX_AXES, parse_axes
from workbench.sweeps import MAX_SEEDS, Plan

EXAMPLE = "2, 5, 10 or 5:50:5"


def markup(engine: Engine) -> str:
    """Three axes (a parameter and its values), the number of seeds, a button."""
    key = escape(engine.key)
    every = [field for field in fields_of(engine.params) if field.kind != "hidden"]
    # A file is chosen, sent and looked at one at a time: an axis of them belongs to the command line.
    fields = [field for field in every if field.kind != "file"]
    files = [field for field in every if field.kind == "file"]
    elsewhere = (
        f" Files are swept on the command line: --over {escape(files[0].name)}=@one,@other." if files else ""
    )
    rows = "".join(_axis(place, fields, key) for place in range(1, MAX_AXES + 1))
    at = f"wb-{key}-sweep"
    return (
        '<details class="wb-advanced wb-sweep"><summary><span>Sweep</span><span class="wb-count" data-sweep="count">'
        f'over one to three settings</span></summary><p class="wb-help" id="{at}-help">Runs the settings above over these '
        f"values. A list by commas, or a range with its end: {EXAMPLE}, 1e-4:1e-1:*10.{elsewhere}</p>{rows}"
        f'<div class="wb-field wb-sweep-seeds"><div class="wb-label-row"><label class="wb-label" for="{at}-seeds">Seeds a cell</label></div>'
        f'<div class="wb-box"><input id="{at}-seeds" data-sweep="seeds" type="text" inputmode="numeric" class="wb-number" value="1" '
        f'aria-describedby="{at}-error"></div></div>'
        f'<p class="wb-error" id="{at}-error" data-sweep="error" role="alert" hidden></p>'
        '<button type="button" class="wb-secondary" data-sweep="start">Run the sweep</button></details>'
    )


def _axis(place: int, fields: list[Field], key: str) -> str:
    options = "".join(
        f'<option value="{escape(field.name)}">{escape(field.title)}</option>' for field in fields
    )
    words = ("First", "Second", "Third")[place - 1]
    at = f"wb-{key}-sweep"
    return (
        f'<div class="wb-sweep-axis"><label class="wb-off" for="{at}-name-{place}">{words} setting to vary</label>'
        f'<select id="{at}-name-{place}" class="wb-input" data-sweep="name"><option value="">{words} setting</option>{options}</select>'
        f'<label class="wb-off" for="{at}-values-{place}">Values of the {words.lower()} setting</label>'
        f'<input id="{at}-values-{place}" type="text" class="wb-input" data-sweep="values" placeholder="{EXAMPLE}" '
        f'aria-describedby="{at}-help {at}-error" disabled></div>'
    )


def plan_of(engine: Engine, asked: Mapping[str, Any], seed: int | None) -> Plan:
    """The plan of what the section and the form above it hold. Raises UsageError, InvalidParams."""
    given = asked.get("axes")
    words = [
        f"{one.get('name')}={one.get('values')}"
        for one in (given if isinstance(given, list) else [])
        if isinstance(one, Mapping) and one.get("name")
    ]
    if not words:
        raise UsageError("Choose a setting to vary and write its values.")
    if empty := next((word for word in words if not word.partition("=")[2].strip()), None):
        raise UsageError(f"{empty.partition('=')[0]} needs values, such as {EXAMPLE}.")
    axes = parse_axes(engine, words, no_files)
    names = {axis.name for axis in axes}
    shown = asked.get("values")
    values = read_values(engine.params, shown if isinstance(shown, Mapping) else {})
    fixed = {name: value for name, value in values.items() if name not in names}
    first = seed or 0
    return Plan(
        engine.key,
        axes,
        tuple(range(first, first + _seeds(asked.get("seeds")))),
        str(asked.get("preset") or "default"),
        fixed,
    )


def errors(engine: Engine, error: InvalidParams, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is wrong: at its field above, or under the axes where an axis has it."""
    given = asked.get("axes")
    axes = {
        str(one.get("name")) for one in (given if isinstance(given, list) else []) if isinstance(one, Mapping)
    }
    shown = {field.name for field in fields_of(engine.params) if field.kind != "hidden"} | {"seed"}
    own = [one for one in error.errors if one.field in shown and one.field not in axes]
    rest = [one for one in error.errors if one not in own]
    return {
        "kind": "errors",
        "engine": engine.key,
        "errors": {one.field: one.sentence for one in own},
        "sweep": " ".join(one.sentence for one in rest),
    }


def _seeds(given: Any) -> int:
    text = str(given if given is not None else "1").strip() or "1"
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_SEEDS:
        sentence = f"Seeds a cell must be a whole number from 1 to {MAX_SEEDS}; got {text[:20]!r}."
        raise InvalidParams([FieldError("", given, sentence)])
    return int(text)

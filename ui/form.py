"""The form of an engine as one piece of HTML, made from its params model.

Native controls, each with a `<label>`, its help tied by `aria-describedby`, and an empty line where its
error will stand. The page's script (static/js/form.js) only reads and fills them; what a value may be is
said by the params model alone, on the server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from engines.contract import Engine
from ui import sweep_form
from ui.form_fields import SEGMENT_CHARACTERS, Field, fields_of, grouped, preset_values
from workbench.demo_limits import DemoLimits, check_params
from workbench.errors import InvalidParams
from workbench.values import params_of

DICE = (
    '<svg viewBox="0 0 16 16" aria-hidden="true"><rect x="2" y="2" width="12" height="12" rx="2.5"/>'
    '<circle cx="5.5" cy="5.5" r="1"/><circle cx="10.5" cy="5.5" r="1"/><circle cx="8" cy="8" r="1"/>'
    '<circle cx="5.5" cy="10.5" r="1"/><circle cx="10.5" cy="10.5" r="1"/></svg>'
)
LOCK = (
    '<svg viewBox="0 0 16 16" aria-hidden="true"><rect x="3" y="7" width="10" height="7" rx="1.5"/>'
    '<path class="wb-shackle" d="M5.2 7V4.8a2.8 2.8 0 0 1 5.6 0V7"/></svg>'
)


def setup(engine: Engine) -> dict[str, Any]:
    """What the page's script knows of the form: the values under each preset and the bounds of sliders."""
    return {
        "engine": engine.key,
        "presets": {name: preset_values(engine, name) for name in engine.presets},
        "fields": {
            field.name: {
                key: value
                for key, value in {
                    "kind": field.kind,
                    "low": field.low,
                    "high": field.high,
                    "step": field.step,
                    "log": field.log,
                    "whole": field.whole,
                    "many": field.many,
                }.items()
                if value is not None and value is not False
            }
            for field in fields_of(engine.params)
        },
    }


def markup(engine: Engine, *, demo: bool = False) -> str:
    """The whole form: presets, surface fields, seed, the advanced ones in groups, and the row of buttons."""
    fields = fields_of(engine.params)
    key = escape(engine.key)
    surface = "".join(field_markup(field, engine.key, demo) for field in fields if not field.advanced)
    return (
        f'<form class="wb-form" id="wb-form-{key}" data-engine="{key}" novalidate autocomplete="off" '
        f'aria-label="Settings of {escape(engine.paper.short)}" data-setup="{escape(json.dumps(setup(engine)))}">'
        '<div class="wb-drawer-head"><h2>Settings</h2>'
        '<button type="button" class="wb-quiet" data-do="drawer-close">Done</button></div>'
        '<div class="wb-fields">'
        f"{presets_markup(engine, demo=demo)}{surface}{seed_markup(engine.key)}{_advanced(fields, engine.key, demo)}"
        f"{sweep_form.markup(engine)}"
        '<p class="wb-error wb-form-error" role="alert" hidden></p></div>'
        f"{_buttons()}</form>"
    )


def presets_markup(engine: Engine, *, demo: bool = False) -> str:
    """Presets as segments (as pills where they are many), and the help of each (the script shows the chosen one). On a demo
    the help says of a preset that guests are refused."""
    key = escape(engine.key)
    segments, helps = [], []
    for name in sorted(engine.presets, key=lambda name: name != "default"):
        preset = engine.presets[name]
        mark = " checked" if name == "default" else ""
        segments.append(
            f'<label><input type="radio" name="preset-{key}" value="{escape(name)}"{mark}>'
            f"<span>{escape(preset.title)}</span></label>"
        )
        hide = "" if name == "default" else " hidden"
        beyond = (
            " Beyond this demo: install the workbench to run it." if demo and _is_beyond(engine, name) else ""
        )
        helps.append(f'<span data-preset="{escape(name)}"{hide}>{escape(preset.help + beyond)}</span>')
    width = sum(len(preset.title) + 3 for preset in engine.presets.values())
    shape = "wb-segments" if width <= SEGMENT_CHARACTERS else "wb-pills"
    return (
        '<fieldset class="wb-field wb-presets"><legend class="wb-label">Preset '
        '<button type="button" class="wb-edited" data-do="reset" hidden>edited, reset</button></legend>'
        f'<div class="{shape}">{"".join(segments)}</div><p class="wb-help">{"".join(helps)}</p></fieldset>'
    )


def _is_beyond(engine: Engine, preset: str) -> bool:
    """Whether a demo as it comes refuses that preset to guests."""
    try:
        check_params(engine, params_of(engine, {}, preset), DemoLimits())
    except InvalidParams:
        return True
    return False


def seed_markup(key: str) -> str:
    """The seed with its dice (a new one now) and its lock (the same one for every run)."""
    at = f"wb-{escape(key)}-seed"
    return (
        '<div class="wb-field" data-field="seed"><div class="wb-label-row">'
        f'<label class="wb-label" for="{at}">Seed</label></div>'
        f'<div class="wb-seed"><input id="{at}" name="seed" type="text" inputmode="numeric" value="0" class="wb-number" '
        f'aria-describedby="{at}-help {at}-error">'
        f'<button type="button" class="wb-icon" data-do="dice" title="Roll a new seed" aria-label="Roll a new seed">{DICE}</button>'
        '<button type="button" class="wb-icon" data-do="lock" aria-pressed="true" title="Seed is kept for the next run" '
        f'aria-label="Keep the seed">{LOCK}</button></div>'
        f'<p class="wb-help" id="{at}-help">Same settings and seed give the same numbers. Unlock to roll one each run.</p>'
        f'<p class="wb-error" id="{at}-error" role="alert" hidden></p></div>'
    )


def _advanced(fields: tuple[Field, ...], key: str, demo: bool) -> str:
    groups = grouped(fields)
    if not groups:
        return ""
    body = ""
    for heading, members in groups.items():
        title = f"<h3>{escape(heading)}</h3>" if heading else ""
        body += f'<section class="wb-group">{title}{"".join(field_markup(field, key, demo) for field in members)}</section>'
    return (
        '<details class="wb-advanced"><summary><span>Advanced</span>'
        f'<span class="wb-count" data-count>{sum(len(members) for members in groups.values())} settings</span></summary>'
        f"{body}</details>"
    )


def _buttons() -> str:
    return (
        '<div class="wb-actions"><div class="wb-run-row">'
        '<button type="submit" class="wb-primary" data-do="run" title="Run (Ctrl+Enter)">Run</button>'
        '<button type="button" class="wb-secondary" data-do="stop" title="Stop (Esc)" hidden>Stop</button>'
        '<button type="button" class="wb-secondary wb-drawer-open" data-do="drawer">Settings</button></div>'
        '<p class="wb-keys"><button type="button" class="wb-link" data-do="command" aria-expanded="false">Show me the command</button>'
        "<span><kbd>Ctrl</kbd> <kbd>Enter</kbd> runs, <kbd>Esc</kbd> stops</span></p>"
        '<div class="wb-command" data-command hidden></div></div>'
    )


def command_markup(command_line: str, python_code: str) -> str:
    """The two forms of "show me the command", each with a copy button."""
    parts = (("Command line", command_line), ("Python", python_code))
    return "".join(
        f'<div class="wb-code"><div class="wb-code-head"><span>{title}</span>'
        f'<button type="button" class="wb-link" data-do="copy">Copy</button></div><pre tabindex="0"><code>{escape(code)}</code></pre></div>'
        for title, code in parts
    )


def field_markup(field: Field, key: str, demo: bool = False) -> str:
    """One control with label, unit, help and its (empty) error line; nothing for hidden fields."""
    if field.kind == "hidden":
        return ""
    at = f"wb-{escape(key)}-{escape(field.name)}"
    unit = f' <span class="wb-unit">{escape(field.unit)}</span>' if field.unit else ""
    dot = '<button type="button" class="wb-dot" data-do="reset-field" hidden></button>'
    help_text = escape(field.help)
    if demo and field.demo_max is not None:
        help_text += f" At most {field.demo_max:g} on this demo."
    described = f'aria-describedby="{at}-help {at}-error"'
    tail = f'<p class="wb-help" id="{at}-help">{help_text}</p><p class="wb-error" id="{at}-error" role="alert" hidden></p>'
    title = f"{escape(field.title)}{unit}"
    kind = f'class="wb-field wb-kind-{field.kind}" data-field="{escape(field.name)}"'
    if field.kind in ("segments", "checks"):
        return (
            f'<fieldset {kind} {described}><legend class="wb-label">{title}{dot}</legend>'
            f"{_choices(field, key)}{tail}</fieldset>"
        )
    if field.kind == "switch":
        return (
            f'<div {kind}><div class="wb-label-row"><label class="wb-label" for="{at}">{title}</label>{dot}'
            f'<input id="{at}" name="{escape(field.name)}" type="checkbox" role="switch" class="wb-switch" {described}'
            f"{' checked' if field.default else ''}></div>{tail}</div>"
        )
    return (
        f'<div {kind}><div class="wb-label-row"><label class="wb-label" for="{at}">{title}</label>{dot}</div>'
        f"{_control(field, at, described)}{tail}</div>"
    )


def _choices(field: Field, key: str) -> str:
    many = field.kind == "checks"
    chosen = set(map(str, field.default)) if many else {str(field.default)}
    boxes = "".join(
        f'<label><input type="{"checkbox" if many else "radio"}" name="{escape(key)}-{escape(field.name)}" '
        f'value="{escape(value)}"{" checked" if value in chosen else ""}><span>{escape(label)}</span></label>'
        for value, label in field.options
    )
    return f'<div class="{"wb-checks" if many else "wb-segments"}">{boxes}</div>'


def _control(field: Field, at: str, described: str) -> str:
    name, value = escape(field.name), escape(text_of(field.default))
    if field.kind == "select":
        options = "".join(
            f'<option value="{escape(choice)}"{" selected" if choice == str(field.default) else ""}>{escape(label)}</option>'
            for choice, label in field.options
        )
        return f'<select id="{at}" name="{name}" class="wb-input" {described}>{options}</select>'
    if field.kind == "lines":
        return f'<textarea id="{at}" name="{name}" class="wb-input" rows="3" {described}>{value}</textarea>'
    if field.kind == "file":
        return _file(field, at, described)
    if field.kind == "text":
        words = "".join(f'<option value="{escape(word)}">' for word in field.suggestions)
        listed = f' list="{at}-list"' if words else ""
        tail = f'<datalist id="{at}-list">{words}</datalist>' if words else ""
        tail += _phrases(field)
        hint = f' placeholder="{escape(field.placeholder)}"' if field.placeholder else ""
        return f'<input id="{at}" name="{name}" type="text" class="wb-input" value="{value}"{hint}{listed} {described}>{tail}'
    mode = "numeric" if field.whole else "decimal"
    box = f'<input id="{at}" name="{name}" type="text" inputmode="{mode}" class="wb-number" value="{value}" {described}>'
    if field.kind == "number":
        return f'<div class="wb-box">{box}</div>'
    return (
        '<div class="wb-slide"><input type="range" tabindex="-1" aria-hidden="true" min="0" max="1000" '
        f'data-range="{name}">{box}</div>'
    )


def _phrases(field: Field) -> str:
    """Lists that make a valid text: which sentence, then a list for each of its slots (filled by the page)."""
    if not field.phrases:
        return ""
    options = "".join(
        f'<option value="{escape(template)}">{escape(template.replace("{", "[").replace("}", "]"))}</option>'
        for template in field.phrases["templates"]
    )
    words = escape(json.dumps(field.phrases["words"]))
    return (
        f'<details class="wb-phrases" data-words="{words}"><summary>Build one from lists</summary>'
        f'<select class="wb-input" aria-label="{escape(field.title)}: kind of sentence" data-template>{options}</select>'
        '<div class="wb-phrase"></div></details>'
    )


def _file(field: Field, at: str, described: str) -> str:
    accept = escape(",".join(field.accept))
    kinds = ", ".join(ending.lstrip(".").upper() for ending in field.accept) or "Any file"
    return (
        f'<div class="wb-file"><input type="file" id="{at}" accept="{accept}" class="wb-file-input" {described}>'
        f'<input type="hidden" name="{escape(field.name)}" value="">'
        f'<span class="wb-file-name" data-file-name>Drop a file here or browse</span>'
        '<button type="button" class="wb-link" data-do="clear-file" hidden>Remove</button>'
        f'<span class="wb-file-kinds" title="{escape(kinds)}">{escape(kinds)}</span></div>'
    )


def text_of(value: Any) -> str:
    """A value as a text box shows it: lists by commas, None as nothing, 1e-07 as 1e-7."""
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(text_of(item) for item in value)
    if isinstance(value, float):
        short = f"{value:.12g}"
        return short.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    return str(value)


def field_errors(errors: Mapping[str, str], engine: Engine) -> dict[str, str]:
    """Sentences by field; what belongs to no control of the form goes under "" (the form's own error line)."""
    shown = {field.name for field in fields_of(engine.params) if field.kind != "hidden"} | {"seed"}
    found: dict[str, str] = {}
    for name, sentence in errors.items():
        place = name if name in shown else ""
        found[place] = f"{found[place]} {sentence}" if place in found else sentence
    return found

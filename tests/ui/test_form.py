"""The form: each kind of parameter gets its control, and what the page sends is read as the params model wants it."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal

import pytest

from engines.contract import Engine, Paper, Params, Preset, Upload, knob
from engines.validation import Refused, validate
from ui import form
from ui.form_fields import fields_of, grouped, preset_values, read_values


class Knobs(Params):
    size: int = knob(20, title="Size", help="Rows, 1 to 200.", unit="rows", ge=1, le=200, demo_max=50)
    rate: float = knob(1e-3, title="Rate", help="Step.", gt=0, le=1, log=True)
    wide: int = knob(5, title="Wide", help="Many.", ge=0, le=10**9)
    mode: Literal["a", "b_c"] = knob("a", title="Mode", help="Which.", labels={"b_c": "<b>"})
    long: Literal["first_choice", "second_choice", "third_choice"] = knob(
        "first_choice", title="Long", help="Which."
    )
    rivals: tuple[Literal["x", "y"], ...] = knob(("x",), title="Rivals", help="Which.")
    loud: bool = knob(True, title="Loud", help="Whether.")
    model: str = knob("tiny", title="Model", help="Reference.", suggestions=("tiny", "gpt2"))
    prompts: tuple[str, ...] = knob(("one", "two"), title="Prompts", help="Lines.", widget="lines")
    cuts: tuple[int, ...] = knob((), title="Cuts", help="Steps.", placeholder="<auto>")
    stop: int | None = knob(None, title="Stop", help="Or never.", ge=1, le=9, widget="number")
    photo: Upload = knob("", title="Photo", help="A file.", widget="file", accept=(".png",))
    inner: int = knob(3, title="Inner", help="Steps.", ge=1, le=9, advanced=True, group="Solver")
    secret: int = knob(1, title="Secret", help="Not shown.", ge=0, le=1, widget="hidden")


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    paper = Paper("knobs", "Knobs", ("A", "B"), 2026, "estimation", "All kinds.", "Knobs")
    presets = {
        "smoke": Preset("Smoke", "Fast.", {"size": 2}),
        "default": Preset("Default", "Watch."),
        "paper": Preset("Paper", "Full."),
    }
    return Engine(
        paper, Knobs, lambda params, context: iter(()), (), presets, ("Ours", "error"), tmp_path / "about.md"
    )


def test_each_parameter_gets_the_control_that_fits() -> None:
    assert {field.name: field.kind for field in fields_of(Knobs)} == {
        "size": "slider",
        "rate": "slider",
        "wide": "number",
        "mode": "segments",
        "long": "select",
        "rivals": "checks",
        "loud": "switch",
        "model": "text",
        "prompts": "lines",
        "cuts": "text",
        "stop": "number",
        "photo": "file",
        "inner": "slider",
        "secret": "hidden",
    }
    assert list(grouped(fields_of(Knobs))) == ["Solver"]


def test_an_empty_box_says_what_that_means(engine: Engine) -> None:
    page = form.markup(engine)
    assert 'name="cuts" type="text" class="wb-input" value="" placeholder="&lt;auto&gt;"' in page
    assert 'name="model" type="text" class="wb-input" value="tiny" list=' in page


def test_what_the_page_sends_is_read_without_repairing_it() -> None:
    sent = {
        "size": " 7 ",
        "rate": "1e-2",
        "rivals": ["y"],
        "prompts": "a\n b, c\n",
        "stop": "",
        "loud": False,
    }
    params = validate(Knobs, read_values(Knobs, sent))
    assert (params.size, params.rate, params.rivals, params.prompts) == (7, 0.01, ("y",), ("a", "b", "c"))
    assert params.stop is None
    assert params.loud is False
    with pytest.raises(Refused, match="size must be a whole number from 1 to 200"):
        validate(Knobs, read_values(Knobs, {"size": "seven"}))


def test_the_defaults_of_the_form_are_valid_and_come_back_as_they_were(engine: Engine) -> None:
    for preset in engine.presets:
        values = preset_values(engine, preset)
        shown = {
            name: form.text_of(value)
            if isinstance(value, int | float) and not isinstance(value, bool)
            else value
            for name, value in values.items()
        }
        assert validate(Knobs, read_values(Knobs, shown)) == validate(Knobs, engine.preset(preset))


class _Controls(HTMLParser):
    """Ids, labels and references of the form's HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.described: list[str] = []
        self.controls: list[tuple[str, dict[str, Any]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("id"):
            self.ids.append(str(found["id"]))
        if tag == "label" and found.get("for"):
            self.labelled.add(str(found["for"]))
        self.described += str(found.get("aria-describedby") or "").split()
        if tag in ("input", "select", "textarea"):
            self.controls.append((tag, found))


def test_every_control_is_named_and_described(engine: Engine) -> None:
    page = _Controls()
    page.feed(form.markup(engine))
    assert len(page.ids) == len(set(page.ids))
    assert set(page.described) <= set(page.ids)
    typed = [
        found
        for _, found in page.controls
        if found.get("type") not in ("radio", "checkbox", "hidden", "range")
    ]
    assert typed
    assert all(found["id"] in page.labelled for found in typed)


def test_texts_of_an_engine_are_escaped(engine: Engine) -> None:
    html = form.markup(engine)
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert 'data-field="secret"' not in html


def test_a_demo_says_its_ceiling(engine: Engine) -> None:
    assert "At most 50 on this demo." in form.markup(engine, demo=True)
    assert "on this demo" not in form.markup(engine)


def test_errors_without_a_control_go_to_the_forms_own_line(engine: Engine) -> None:
    errors = form.field_errors(
        {"size": "size is wrong.", "secret": "secret is wrong.", "": "All is wrong."}, engine
    )
    assert errors == {"size": "size is wrong.", "": "secret is wrong. All is wrong."}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (1e-7, "1e-7"), (0.25, "0.25"), (3, "3"), ([1, 2.5], "1, 2.5"), (1e20, "1e20")],
)
def test_values_as_text(value: Any, text: str) -> None:
    assert form.text_of(value) == text


def test_commands_are_escaped() -> None:
    html = form.command_markup("workbench run x --set a='<i>'", "print(1)")
    assert re.search(r"a=&#x27;&lt;i&gt;&#x27;", html)

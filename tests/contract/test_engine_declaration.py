"""What an engine declares: its paper, its parameters and their rules, its presets, its page of text."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from contract_names import SECTIONS

from engines.contract import FAMILIES, Engine, upload_fields
from engines.validation import field_bounds, field_rule
from workbench.catalog import DISTRIBUTION, Catalog
from workbench.demo_limits import DemoLimits, check_params
from workbench.errors import InvalidParams
from workbench.values import params_of

MAX_SUMMARY = 140
MAX_SURFACE = 7
HEAVY = (
    "torch", "numba", "scipy", "sklearn", "skimage", "pandas", "matplotlib", "transformers", "diffusers", "peft",
    "gradio", "plotly", "sqlalchemy", "sqlmodel",
)  # fmt: skip


def test_no_engine_is_broken(catalog: Catalog) -> None:
    assert dict(catalog.broken) == {}


def test_paper(engine: Engine) -> None:
    paper = engine.paper
    assert paper.key.isidentifier()
    assert paper.key == paper.key.lower()
    assert paper.title
    assert paper.short
    assert paper.authors
    assert all(author.strip() for author in paper.authors)
    assert 1900 < paper.year < 2100
    assert paper.family in FAMILIES
    assert 0 < len(paper.summary) <= MAX_SUMMARY
    assert "\n" not in paper.summary
    assert paper.arxiv == "" or paper.arxiv[:4].isdigit(), "an arXiv id, not an address"
    assert paper.code == "" or paper.code.startswith("https://")


def test_claims_are_declared_once_and_in_words(engine: Engine) -> None:
    keys = [claim.key for claim in engine.claims]
    assert keys
    assert len(keys) == len(set(keys))
    for claim in engine.claims:
        assert len(claim.statement) > 15
        assert claim.paper is None or claim.paper.strip()
    assert all(engine.headline)


def test_presets_are_valid_and_explained(engine: Engine) -> None:
    assert {"smoke", "default", "paper"} <= set(engine.presets)
    params_of(engine, {})
    for name, preset in engine.presets.items():
        params_of(engine, {}, name)
        assert preset.title
        assert preset.help
    engine.check(params_of(engine, {}, "default"), {})
    params_of(engine, engine.reproduce, "default")


def test_guests_of_a_demo_may_run_default_and_smoke(engine: Engine) -> None:
    for preset in ("default", "smoke"):
        check_params(engine, params_of(engine, {}, preset), DemoLimits())


def test_a_demo_keeps_guests_from_the_papers_scale(engine: Engine, catalog: Catalog) -> None:
    """Either a number is above its ceiling or a value is for one's own machine: full scale is hours of somebody's machine."""
    if catalog.origins[engine.key].distribution != DISTRIBUTION:
        pytest.skip("the full scale of a plug-in may be small")
    with pytest.raises(InvalidParams):
        check_params(engine, params_of(engine, {}, "paper"), DemoLimits())


def test_every_field_is_explained(engine: Engine) -> None:
    surface = 0
    for name, info in engine.params.model_fields.items():
        assert info.title, name
        assert info.description, name
        assert not info.is_required(), f"{name} needs a default"
        extra = info.json_schema_extra
        assert isinstance(extra, dict), f"{name} must be declared with knob()"
        surface += not extra["advanced"] and extra["widget"] != "hidden"
        choices = set(map(str, get_args(_item(info.annotation))))
        assert set(extra["labels"]) <= choices, f"{name} has labels for what is no choice"
    assert surface <= MAX_SURFACE


def test_numbers_are_bounded_on_both_sides(engine: Engine) -> None:
    for name, info in engine.params.model_fields.items():
        if _inner(info.annotation) in (int, float):
            bounds = field_bounds(info)
            assert "ge" in bounds or "gt" in bounds, f"{name} has no lower bound"
            assert "le" in bounds or "lt" in bounds, f"{name} has no upper bound"


def test_a_number_out_of_range_is_refused_with_name_value_and_rule(engine: Engine) -> None:
    for name, info in engine.params.model_fields.items():
        kind = _inner(info.annotation)
        if kind not in (int, float):
            continue
        outside = [
            _outside(kind, rule, bound) for rule, bound in field_bounds(info).items() if rule in _DIRECTION
        ]
        for value in [*outside, *([math.nan, math.inf] if kind is float else [])]:
            sentence = _refusal(engine, name, value)
            assert name in sentence
            assert repr(value) in sentence
            assert field_rule(info) in sentence


def test_other_wrong_values_are_refused(engine: Engine) -> None:
    for name, info in engine.params.model_fields.items():
        kind, bounds = _inner(info.annotation), field_bounds(info)
        if get_origin(kind) is Literal:
            assert "no such choice" in _refusal(engine, name, "no such choice")
        elif kind in (int, float, bool):
            assert "'many'" in _refusal(engine, name, "many")
        elif kind is str and "max_length" in bounds:
            assert name in _refusal(engine, name, "x" * (bounds["max_length"] + 1))
        if name in upload_fields(engine.params):
            for path in ("/etc/passwd", "../x", "sha256:" + "0" * 64 + "/../x", "sha256:short/x"):
                assert name in _refusal(engine, name, path)


def test_an_unknown_field_is_refused(engine: Engine) -> None:
    assert "no_such_field" in _refusal(engine, "no_such_field", 1)


def test_params_survive_json(engine: Engine) -> None:
    for preset in engine.presets:
        params = params_of(engine, {}, preset)
        text = json.dumps(params.model_dump(mode="json"), allow_nan=False)
        assert params_of(engine, json.loads(text)) == params
    json.dumps(engine.params.model_json_schema(), allow_nan=False)


def test_about_has_its_sections(engine: Engine) -> None:
    text = engine.about.read_text(encoding="utf-8")
    parts = re.split(r"^(## .*?)[ \t]*$", text, flags=re.M)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert [heading for heading in bodies if heading in SECTIONS] == SECTIONS, "all of them, in this order"
    assert [heading for heading in SECTIONS if not bodies[heading].strip()] == []
    assert "$" in text, "the key formula"


def test_importing_it_is_light(engine: Engine, catalog: Catalog) -> None:
    module = catalog.origins[engine.key].module
    folder = Path(sys.modules[module].__file__ or "").parents[len(module.split("."))]
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import {module} as found; found.ENGINE; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


_DIRECTION = {"ge": -1, "gt": 0, "le": 1, "lt": 0}


def _outside(kind: type, rule: str, bound: float) -> int | float:
    """The nearest value that breaks a bound."""
    direction = _DIRECTION[rule]
    if kind is int:
        return int(bound) + direction
    return math.nextafter(float(bound), math.inf * direction) if direction else float(bound)


def _refusal(engine: Engine, name: str, value: Any) -> str:
    with pytest.raises(InvalidParams) as caught:
        params_of(engine, {name: value})
    assert caught.value.exit_code == 2
    return next(error.sentence for error in caught.value.errors if error.field == name)


def _inner(annotation: Any) -> Any:
    """The type without a None beside it."""
    if get_origin(annotation) in (Union, types.UnionType):
        inner = [item for item in get_args(annotation) if item is not type(None)]
        return inner[0] if len(inner) == 1 else annotation
    return annotation


def _item(annotation: Any) -> Any:
    """What a list or tuple holds; any other type as it is."""
    inner = _inner(annotation)
    return get_args(inner)[0] if get_origin(inner) in (list, tuple, set, frozenset) else inner

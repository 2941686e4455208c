from pathlib import Path
from typing import Any, Literal

import pytest

from engines.contract import Engine
from workbench.catalog import Catalog
from workbench.errors import InvalidParams, UsageError
from workbench.values import changes_from, params_of, parse, parse_assignments


@pytest.fixture
def engine(fixture_catalog: Catalog) -> Engine:
    return fixture_catalog.engine("fixture")


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "5", 5),
        (int, "5.5", 5.5),
        (int, "five", "five"),
        (float, "1e-3", 0.001),
        (float, "2", 2),
        (bool, "yes", "yes"),
        (str, "5", "5"),
        (str, " spaced ", " spaced "),
        (Literal["a", "b"], "b", "b"),
        (Literal[4, 8], "8", 8),
        (Literal[4, 8], "9", "9"),
        (list[int], "1,2, 3", [1, 2, 3]),
        (list[int], "[1, 2]", [1, 2]),
        (list[str], '["a,b", "c"]', ["a,b", "c"]),
        (list[str], "", []),
        (tuple[float, ...], "0.5", [0.5]),
        (int | None, "none", None),
        (int | None, "3", 3),
        (dict[str, int], '{"a": 1}', {"a": 1}),
        (dict[str, int], "{", "{"),
    ],
)
def test_text_is_read_by_the_type_of_its_field(annotation: Any, text: str, value: Any) -> None:
    read = parse(annotation, text)
    assert read == value
    assert type(read) is type(value)


def test_last_assignment_wins_and_text_keeps_equal_signs(engine: Engine) -> None:
    values = parse_assignments(engine, ["steps=3", "label=a=b", "steps=4", "sizes=3,1"], _no_file)
    assert values == {"steps": 4, "label": "a=b", "sizes": [3, 1]}


def test_a_file_is_ingested_only_for_upload_fields(engine: Engine) -> None:
    seen: list[Path] = []

    def ingest(path: Path) -> str:
        seen.append(path)
        return "sha256:x/cat.png"

    assert parse_assignments(engine, ["photo=@cat.png", "label=@me"], ingest) == {
        "photo": "sha256:x/cat.png",
        "label": "@me",
    }
    assert seen == [Path("cat.png")]


def test_wrong_assignments(engine: Engine) -> None:
    with pytest.raises(UsageError, match="--set takes name=value; got 'steps'"):
        parse_assignments(engine, ["steps"], _no_file)
    with pytest.raises(InvalidParams) as caught:
        parse_assignments(engine, ["stepps=1"], _no_file)
    assert caught.value.sentence == "stepps is not a parameter of fixture. Did you mean steps?"
    assert caught.value.errors[0].field == "stepps"


def test_preset_then_values(engine: Engine) -> None:
    assert params_of(engine, {}, None).model_dump()["steps"] == 6
    assert params_of(engine, {}, "smoke").model_dump()["steps"] == 3
    assert params_of(engine, {"steps": "7"}, "smoke").model_dump()["steps"] == 7


def test_every_wrong_field_has_its_sentence(engine: Engine) -> None:
    with pytest.raises(InvalidParams) as caught:
        params_of(engine, {"steps": 0, "rate": 2.0, "mode": "odd"})
    found = {error.field: error.sentence for error in caught.value.errors}
    assert set(found) == {"steps", "rate", "mode"}
    assert found["rate"] == "rate must be a number above 0 and at most 1 (1/step); got 2.0."
    assert "plain" in found["mode"]
    with pytest.raises(InvalidParams, match="preset must be one of smoke, default, paper; got 'huge'"):
        params_of(engine, {}, "huge")


def test_changes_from_a_preset(engine: Engine) -> None:
    full = params_of(engine, {"sizes": [1, 2], "rate": 0.25}, "smoke").model_dump(mode="json")
    assert changes_from(engine, full, "smoke") == {"rate": 0.25}
    assert changes_from(engine, full, "") == {"rate": 0.25, "steps": 3}
    assert changes_from(engine, {**full, "from_the_past": 1}, "smoke") == {"rate": 0.25, "from_the_past": 1}


def _no_file(path: Path) -> str:
    raise AssertionError(path)


def test_a_refusal_of_the_models_own_tells_the_value() -> None:
    reno = Catalog.load().engine("reno")
    with pytest.raises(InvalidParams) as caught:
        params_of(reno, {"prompt": "an astronaut"}, "default")
    assert [(one.field, one.value) for one in caught.value.errors] == [("prompt", "an astronaut")]

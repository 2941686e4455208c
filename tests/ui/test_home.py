"""Home: a card a paper, with its last run."""

from __future__ import annotations

from ui import home
from workbench.runs import Workbench


def test_a_card_before_and_after_the_first_run(workbench: Workbench) -> None:
    html = home.markup(workbench)
    assert 'href="?engine=fixture"' in html
    assert "No run yet" in html
    assert "2 claims to check" in html
    workbench.submit("fixture", {}, preset="smoke", seed=1)
    last = home.latest(workbench)
    assert set(last) == {"fixture"}
    html = home.markup(workbench, last)
    assert "wb/artifact/" in html
    assert "✓ 1 holds" in html
    assert "– 1 open" in html


def test_a_run_without_pictures_is_shown_as_curves(workbench: Workbench) -> None:
    workbench.submit("fixture", {"mode": "burst", "steps": 40}, seed=1)
    last = home.latest(workbench)["fixture"]
    assert [name for name, _ in last.curves] == ["Ours"]
    assert "<polyline" in home.markup(workbench, {"fixture": last})


def test_curves_without_a_finite_value_draw_nothing(workbench: Workbench) -> None:
    engine = workbench.catalog.engine("fixture")
    assert home.sparks((("Ours", (float("nan"),)),), engine) == ""


def test_no_engine_is_said_and_not_hidden(workbench: Workbench) -> None:
    workbench.catalog = type(workbench.catalog).of([])
    assert "No engine could be loaded" in home.markup(workbench)

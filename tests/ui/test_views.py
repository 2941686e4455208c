"""Views: what each engine shows of an empty, a half and a full record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sample_events as sample

from engines.contract import Context
from engines.events import Array, Axis, Event, Scalar
from storage import Changes, Record, Status, Store
from ui.figures import unwire
from ui.views import FigureSpec, PictureLayout, View, default_view, view_for
from workbench.catalog import Catalog

CATALOG = Catalog.load()
SAMPLES = ("tour", "synthetic", "picture", "phase", "scaling", "ratings")
Recorded = Callable[..., Record]


@pytest.fixture
def recorded(store: Store) -> Recorded:
    """Records events of an engine as a run."""

    def make(engine: str, events: Any, params: dict[str, Any] | None = None) -> Record:
        headline = CATALOG.engines[engine].headline if engine in CATALOG.engines else ("", "")
        run = store.create_run(engine=engine, params=params or {}, seed=1, headline=headline)
        return sample.write(store, run.id, events)

    return make


def built(view: View, params: dict[str, Any], record: Record) -> dict[str, dict[str, Any]]:
    """All figures, each checked to be JSON with the template's parts."""
    figures = {}
    for spec in view.specs(params, record):
        figure = spec.build(record)
        json.dumps(figure, allow_nan=False)
        assert figure["layout"]["meta"]["pw"]["title"] == spec.title
        assert 280 <= spec.height <= 360
        for trace in figure["data"]:
            if trace["type"] == "scatter":
                assert len(unwire(trace["y"])) <= 2000
        figures[spec.key] = figure
    return figures


@pytest.mark.parametrize("key", list(CATALOG.engines))
def test_figures_of_real_events_from_nothing_to_the_end(key: str, recorded: Recorded, tmp_path: Path) -> None:
    engine = CATALOG.engine(key)
    params = engine.params(**engine.preset("smoke"))
    values = params.model_dump(mode="json")
    view = view_for(key, CATALOG)
    events = list(engine.run(params, Context("cpu", 1, tmp_path)))
    told = [event for event in events if type(event).__name__ not in ("ClaimCheck", "File")]
    for part in (0, len(told) // 2, len(told)):
        figures = built(view, values, recorded(key, islice(told, part), values))
        assert figures
        shown = [name for name, figure in figures.items() if figure["data"]]
        assert bool(shown) == bool(part), "an empty record shows empty frames, any other shows something"
    assert len(shown) == len(figures), f"nothing to see in {set(figures) - set(shown)}"


@pytest.mark.parametrize("problem", SAMPLES)
def test_every_figure_of_matrix_completion_is_drawn_from_the_events_it_promises(
    problem: str, recorded: Recorded
) -> None:
    params = {"problem": problem, "rivals": ["exact", "sketch"], "sketch_ratio": 4}
    view = view_for("matrix_completion", CATALOG)
    full = built(view, params, recorded("matrix_completion", sample.matrix_completion(problem), params))
    missing = [key for key, figure in full.items() if not figure["data"]]
    assert not missing
    half = islice(sample.matrix_completion(problem), 40)
    built(view, params, recorded("matrix_completion", half, params))


def test_exact_and_robust_steps_share_a_figure_with_three_axes(recorded: Recorded) -> None:
    record = recorded("matrix_completion", sample.matrix_completion("synthetic"), {"problem": "synthetic"})
    figure = built(view_for("matrix_completion", CATALOG), {"problem": "synthetic"}, record)["error"]
    keys = [option["key"] for option in figure["layout"]["meta"]["pw"]["variants"]["options"]]
    assert keys == ["iteration", "seconds", "passes"]
    [method] = [t for t in figure["data"] if t["name"] == "Robust AM" and t["visible"]]
    assert (method["line"]["color"], method["line"]["width"]) == ("@accent", 2.5)
    level = next(t for t in figure["data"] if t["name"] == "Mean fill" and t["visible"])
    assert len(unwire(level["x"])) == 2, "a method without iterations is a level line"


def test_the_phase_diagram_shows_its_holes_and_the_line_of_unknowns(recorded: Recorded) -> None:
    record = recorded("matrix_completion", sample.matrix_completion("phase"), {"problem": "phase"})
    figure = built(view_for("matrix_completion", CATALOG), {"problem": "phase"}, record)["phase"]
    cells = unwire(figure["data"][0]["z"])
    assert np.isnan(cells).any()
    assert np.isfinite(cells).any()
    assert any(trace.get("name") == "as many entries as unknowns" for trace in figure["data"])


def test_slopes_stand_in_the_labels_of_the_scaling_figures(recorded: Recorded) -> None:
    record = recorded("matrix_completion", sample.matrix_completion("scaling"), {"problem": "scaling"})
    figure = built(view_for("matrix_completion", CATALOG), {"problem": "scaling"}, record)["scaling-rank"]
    labels = [item["text"] for item in figure["layout"]["annotations"] if item.get("name") == "end-label"]
    assert any("0.95" in label for label in labels)


def test_figures_of_other_problems_are_not_offered() -> None:
    view = view_for("matrix_completion", CATALOG)
    keys = {spec.key for spec in view.specs({"problem": "picture"})}
    assert "psnr" in keys
    assert not keys & {"phase", "scaling-rank", "error", "rmse"}


def test_gamp_rie_shows_alpha_pr_only_without_noise(recorded: Recorded) -> None:
    def sweep() -> Iterator[Event]:
        for alpha in (0.1, 0.2, 0.3):
            yield Scalar("Theory", "mse", alpha, 1 - alpha)
            yield Scalar("GAMP-RIE", "mse", alpha, 1 - alpha)
            yield Scalar("GAMP-RIE", "mse sd", alpha, 0.05)

    for delta, marked in ((0.0, True), (0.25, False)):
        params = {"kappa": 0.5, "delta": delta, "mode": "sweep"}
        figure = built(view_for("gamp_rie", CATALOG), params, recorded("gamp_rie", sweep(), params))["mse"]
        texts = [item["text"] for item in figure["layout"]["annotations"]]
        assert any("0.375" in text for text in texts) == marked
        dots = next(trace for trace in figure["data"] if trace["name"] == "GAMP-RIE")
        assert dots["mode"] == "markers"
        assert unwire(dots["error_y"]["array"]).tolist() == [0.05] * 3


def odd_events() -> Iterator[Event]:
    """What a plug-in may say: words on axes, volumes, complex numbers, values that are not finite."""
    for step in range(5):
        yield Scalar("Mine", "loss", step, [1.0, float("nan"), float("inf"), 0.1, 0.01][step])
        yield Scalar("Other", "time/step", step, 0.1)
        yield Array("line", step, np.arange(4.0), [Axis("x", [0.0, 1.0, 2.0, 3.0])])
    yield Scalar("Mine", "once [%]", 3, 1.0)
    yield Array("words", 0, np.array([1, 2]), [Axis("kind", ["a", "b"])])
    yield Array(
        "plane",
        0,
        np.array([[1.0, -1.0], [np.nan, np.inf]]),
        [Axis("row", ["u", "v"]), Axis("column", [1, 2])],
    )
    yield Array(
        "volume", 0, np.ones((2, 3, 4)), [Axis("a", [0, 1]), Axis("b", [0, 1, 2]), Axis("c", [0, 1, 2, 3])]
    )
    yield Array("point", 0, np.array(3.0), [])
    yield Array("complex", 0, np.array([1 + 1j, 2.0]), [Axis("i", [0, 1])])
    yield Array("nothing", 0, np.empty((0, 3)), [Axis("i", []), Axis("j", [0, 1, 2])])


def test_the_default_view_draws_whatever_a_plug_in_says(recorded: Recorded, fixture_catalog: Catalog) -> None:
    [engine] = fixture_catalog.engines.values()
    view = view_for(engine.key, fixture_catalog)
    [waiting] = view.specs({})
    assert not waiting.empty()["data"]
    nothing = recorded(engine.key, [])
    assert built(view, {}, nothing).keys() == {waiting.key}
    figures = built(view, {}, recorded(engine.key, odd_events()))
    wanted = {"scalar:loss", "scalar:time/step", "array:line", "array:words", "array:plane", "array:volume"}
    assert wanted <= {key for key, figure in figures.items() if figure["data"]}
    assert "frames" in figures["array:line"]


def spec_of(*reads: str) -> FigureSpec:
    return FigureSpec("k", "t", "s", lambda record, head: {"data": []}, reads)


def changes(**what: Any) -> Changes:
    names = ("series", "pictures", "tables", "texts", "arrays", "files")
    base: dict[str, Any] = {name: frozenset() for name in names} | {"claims": False, "alerts": False}
    return Changes(version=2, status=Status.running, **{**base, **what})


def test_a_figure_is_drawn_again_only_when_its_events_changed() -> None:
    spec = spec_of("series:error*", "array:spectrum")
    assert spec.wants(changes(series=frozenset({("A", "error")})))
    assert spec.wants(changes(arrays=frozenset({"spectrum"})))
    assert not spec.wants(changes(series=frozenset({("A", "loss")}), claims=True))
    assert spec_of("claims").wants(changes(claims=True))


def test_pictures_stand_in_the_layouts_order(recorded: Recorded) -> None:
    record = recorded("matrix_completion", sample.matrix_completion("picture"), {"problem": "picture"})
    layout = view_for("matrix_completion", CATALOG).pictures
    strips = layout.arrange(record.pictures())
    assert [strip.name for strip in strips][:3] == ["original", "observed", "completed/Robust AM"]
    assert strips[-1].name == "difference/Robust AM"
    assert [strip.name for strip in strips if strip.emphasised] == ["completed/Robust AM"]
    assert strips[2].label == "Robust AM"
    assert len(strips[2].frames) == 20
    assert strips[2].newest.step == 19
    assert PictureLayout().arrange([]) == []


def test_tables_stand_in_the_views_order() -> None:
    view = View((), tables=("b", "a"))
    assert view.table_names(["x", "a", "b"]) == ["b", "a", "x"]


def test_an_engine_without_a_view_gets_the_default(fixture_catalog: Catalog) -> None:
    [engine] = fixture_catalog.engines.values()
    assert view_for(engine.key, fixture_catalog).figures[0].key == default_view(engine).figures[0].key

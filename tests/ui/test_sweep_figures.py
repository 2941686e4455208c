"""Figures of a sweep are pure functions of plain numbers, and its page tells every cell."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from ui import address, sweep_form
from ui.figures import Axis, resolve, unwire
from ui.figures.sweep import Scale, Spread, figures, in_words
from ui.library import sweep as page
from ui.page import Page
from workbench import sweeps
from workbench.access import OWNER, Access, Demo
from workbench.demo_limits import DemoLimits
from workbench.errors import UsageError
from workbench.sweep_axes import Axis as SweepAxis
from workbench.sweeps import Plan

RANK = Scale("Rank", (10, 2, 5))
RATE = Scale("Rate", (0.1, 1.0, 100.0), "1/s")
SOLVER = Scale("Solver", ("cg", "direct"))
NONE = Scale("Switch", (True, False))


def spread(*shape: int) -> Spread:
    mean = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    return Spread(mean, mean - 1, mean + 1)


def trace(figure, uid: str):
    return next(one for one in figure["data"] if one.get("uid") == uid)


def test_one_axis_of_numbers_is_a_line_with_a_band_in_rising_order() -> None:
    (figure,) = figures([RANK], spread(3), Axis("error"), 3).values()
    line = next(one for one in figure["data"] if "markers" in one.get("mode", ""))
    assert unwire(line["x"]).tolist() == [2, 5, 10]
    assert unwire(line["y"]).tolist() == [1, 2, 0]  # what belonged to 2, 5, 10 in the order given
    assert any(one.get("fill") for one in figure["data"])
    assert figure["layout"]["xaxis"].get("type") != "log"


def test_a_far_reaching_axis_is_logarithmic_and_one_seed_has_no_band() -> None:
    flat = Spread(*[np.array([3.0, 2.0, 1.0])] * 3)
    (figure,) = figures([RATE], flat, Axis("error"), 1).values()
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert not any(one.get("fill") for one in figure["data"])


def test_words_are_bars() -> None:
    (figure,) = figures([SOLVER], spread(2), Axis("error"), 2).values()
    assert figure["data"][0]["type"] == "bar"
    assert list(figure["data"][0]["x"]) == ["cg", "direct"]
    (figure,) = figures([NONE], spread(2), Axis("error"), 2).values()
    assert list(figure["data"][0]["x"]) == ["on", "off"]


def test_whiskers_reach_from_the_lowest_to_the_highest_seed() -> None:
    mean, low, high = (
        np.array([2.0, 3.0, np.nan]),
        np.array([1.0, -1.0, np.nan]),
        np.array([4.0, 3.5, np.nan]),
    )
    scale = Scale("Solver", ("cg", "direct", "none"))
    (figure,) = figures([scale], Spread(mean, low, high), Axis("error"), 3).values()
    [bar] = figure["data"]
    assert bar["error_y"]["symmetric"] is False
    assert bar["error_y"]["array"] == [2.0, 0.5, None]
    assert bar["error_y"]["arrayminus"] == [1.0, 4.0, None]
    assert figure["layout"]["yaxis"]["range"][0] < -1
    words = figure["layout"]["meta"]["pw"]["subtitle"]
    assert words == "Bar: mean over 3 seeds; whisker: lowest to highest."
    (figure,) = figures([scale], Spread(mean, mean, mean), Axis("error"), 1).values()
    assert "error_y" not in figure["data"][0]
    assert figure["layout"]["meta"]["pw"]["subtitle"] == "One seed a bar."


def test_maps_that_are_left_out_are_counted() -> None:
    many = Scale("Step", tuple(range(15)))
    found = figures([many, RANK, RATE], spread(15, 3, 3), Axis("error"), 1)
    assert len(found) == 12
    words = [figure["layout"]["meta"]["pw"]["subtitle"] for figure in found.values()]
    assert "3 more values have no map here; the table below has them." in words[-1]
    assert not any("more values" in text for text in words[:-1])


def test_two_axes_are_a_map_and_lines() -> None:
    found = figures([SOLVER, RANK], spread(2, 3), Axis("error"), 2)
    assert list(found) == ["map", "lines"]
    cells = trace(found["map"], "cells")
    assert cells["x"] == ["2", "5", "10"]
    assert cells["y"] == ["cg", "direct"]
    assert unwire(cells["z"]).reshape(2, 3).tolist() == [[1, 2, 0], [4, 5, 3]]
    named = [one["name"] for one in found["lines"]["data"] if "markers" in one.get("mode", "")]
    assert named == ["Solver cg", "Solver direct"]
    long = Scale("Rank", tuple(range(1, 9)))
    assert list(figures([long, RATE], spread(8, 3), Axis("error"), 1)) == ["map"]


def test_three_axes_are_maps_with_the_same_colours() -> None:
    found = figures([SOLVER, RANK, RATE], spread(2, 3, 3), Axis("error"), 2)
    assert list(found) == ["map:0", "map:1"]
    ranges = {(trace(one, "cells")["zmin"], trace(one, "cells")["zmax"]) for one in found.values()}
    assert ranges == {(0.0, 17.0)}


def test_a_map_of_many_decades_shows_exponents() -> None:
    values = 10.0 ** np.arange(6).reshape(2, 3)
    wide = figures([SOLVER, RANK], Spread(values, values, values), Axis("error", log=True), 1)["map"]
    cells = trace(wide, "cells")
    assert unwire(cells["z"]).reshape(2, 3).tolist() == [[1, 2, 0], [4, 5, 3]]
    assert (cells["zmin"], cells["zmax"]) == (0, 5)
    assert any(note["text"] == "log10" for note in wide["layout"]["annotations"])


@pytest.mark.parametrize("scales", [[RANK], [SOLVER], [SOLVER, RANK], [SOLVER, RANK, RATE]])
def test_without_a_result_there_is_an_empty_frame_and_a_hole_stays_a_hole(scales) -> None:
    shape = tuple(len(scale.values) for scale in scales)
    nothing = Spread(*[np.full(shape, np.nan)] * 3)
    for figure in figures(scales, nothing, Axis("error"), 2).values():
        assert figure["data"] == []
    some = spread(*shape)
    some.mean.flat[0] = np.nan
    for figure in figures(scales, some, Axis("error"), 2).values():
        for scheme in ("light", "dark"):
            json.dumps(resolve(figure, scheme))


def test_values_in_words() -> None:
    assert [in_words(value) for value in (True, 5, 0.125, [1, 2], "cg")] == ["on", "5", "0.125", "1, 2", "cg"]


# The page


@pytest.fixture
def made(workbench):
    axes = (SweepAxis("mode", ("plain", "fail")), SweepAxis("steps", (2, 4)))
    found = sweeps.create(workbench, Plan("fixture", axes, (0, 1), "smoke"))
    for run_id in found.run_ids[:6]:
        workbench.run_inline(run_id)
    return found


def test_the_page_tells_every_cell(workbench, made) -> None:
    found = page.answer(workbench, made.run.id, "", Access(workbench), OWNER)
    assert found["running"]
    assert "6 of 8 cells: 4 finished, 2 queued, 2 failed" in found["head"]
    assert 'data-sweep-do="sweep-stop"' in found["head"]
    for run_id in made.run_ids:
        assert f'href="?run={run_id}"' in found["grid"]
    assert (
        found["grid"].count("wb/artifact/") == 3
    )  # the cells that painted; failed ones painted before they failed
    assert list(found["figures"]) == ["map", "lines"]
    sweeps.cancel(workbench, made.run.id)
    over = page.answer(workbench, made.run.id, "Base/error", Access(workbench), OWNER)
    assert not over["running"]
    assert "Run the 4 missing cells" in over["head"]
    assert f"wb/export/{made.run.id}.zip" in over["head"]
    assert "error of Base" in json.dumps(over["figures"])


def test_nothing_of_a_user_becomes_html(workbench) -> None:
    nasty = "<img src=x>"
    found = sweeps.create(workbench, Plan("fixture", (SweepAxis("label", (nasty, "b")),), (0,), "smoke"))
    shown = page.answer(workbench, found.run.id, nasty, Access(workbench), OWNER)
    assert nasty not in shown["head"] + shown["grid"]


def asked(**options):
    return {
        "engine": "fixture",
        "preset": "smoke",
        "values": {"label": "x"},
        "seed": "0",
        "seeds": "2",
        **options,
    }


def test_a_sweep_from_the_form(workbench) -> None:
    desk = Page(workbench)
    answer = desk.act({"do": "sweep", **asked(axes=[{"name": "steps", "values": "2, 3"}])}, OWNER)
    goto = answer.messages[-1]
    assert goto["kind"] == "goto"
    found = sweeps.read(workbench, goto["search"].removeprefix("?sweep="))
    assert found.plan.axes == (SweepAxis("steps", (2, 3)),)
    assert found.counts == {"finished": 4}  # inline: executed in the call
    assert address.parse(goto["search"]).kind == "library"
    assert desk.go(f"?run={found.run.id}", OWNER).messages[0]["search"] == goto["search"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"axes": []}, "Choose a setting to vary"),
        ({"axes": "nonsense"}, "Choose a setting to vary"),
        ({"axes": [{"name": "steps", "values": ""}]}, "steps needs values, such as"),
        ({"axes": [{"name": "steps", "values": "0,1"}]}, "steps must be"),
        ({"axes": [{"name": "photo", "values": "@/etc/passwd"}]}, "takes no @files"),
        ({"axes": [{"name": "steps", "values": "1"}], "seeds": "0"}, "Seeds a cell must be"),
        ({"axes": [{"name": "steps", "values": "1"}], "seeds": "x" * 999}, "Seeds a cell must be"),
    ],
)
def test_what_is_wrong_stands_under_the_axes(workbench, options, sentence) -> None:
    (message,) = Page(workbench).act({"do": "sweep", **asked(**options)}, OWNER).messages
    assert message["kind"] == "errors"
    assert sentence in message["sweep"]
    assert workbench.runs().total == 0


def test_what_is_wrong_above_stands_at_its_field(workbench) -> None:
    given = asked(axes=[{"name": "steps", "values": "1,2"}], values={"rate": "7"})
    (message,) = Page(workbench).act({"do": "sweep", **given}, OWNER).messages
    assert "rate must be" in message["errors"]["rate"]
    assert message["sweep"] == ""


def test_a_demo_takes_no_more_cells_than_a_guest_may_have_runs(make_workbench: Callable) -> None:
    bench = make_workbench(executor="inline")
    demo = Demo(bench, DemoLimits(runs=3))
    desk = Page(bench, demo)
    guest = "visitor-0123456789abcdef"
    given = asked(axes=[{"name": "steps", "values": "2,3"}])
    (message,) = desk.act({"do": "sweep", **given}, guest).messages
    assert "A sweep of 4 cells is more than this demo runs for you at a time (3)" in message["sweep"]
    assert bench.runs().total == 0
    answer = desk.act({"do": "sweep", **given, "seeds": "1"}, guest)
    made = sweeps.read(bench, answer.messages[-1]["search"].removeprefix("?sweep="))
    assert {cell.row.run.owner for cell in made.cells} == {guest}
    with pytest.raises(UsageError, match="Only who started"):
        page.stop(bench, {"ids": [made.run.id]}, demo, "visitor-fedcba9876543210")


def test_every_engine_has_a_section_for_sweeps(workbench) -> None:
    html = sweep_form.markup(workbench.catalog.engine("fixture"))
    assert html.count('data-sweep="name"') == 3
    assert '<option value="steps">Steps</option>' in html
    assert '<option value="photo">' not in html
    assert "--over photo=@one,@other" in html

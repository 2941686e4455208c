"""Figures as plain data: colours, axes, labels, what is not finite, and how many points travel."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest

from ui import figures as F
from ui.figures.labels import LINE_PX, EndLabel, end_labels, spread, wrap
from ui.figures.palette import _TOKEN, colour
from ui.figures.template import frame, span

HEAD = F.Head("Error", "Lower is better.", 320, "error")
X, Y = F.Axis("iteration"), F.Axis("relative error", log=True)


def figure_of(*names: str, count: int = 50, **options: Any) -> F.Figure:
    x = np.arange(count)
    made = [F.Curve(name, x, np.exp(-x / (10 + 3 * place)) + 1e-6) for place, name in enumerate(names)]
    return F.lines(HEAD, made, X, Y, **options)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for key, item in value.items() if key != "meta" for text in strings(item)]
    return [text for item in value for text in strings(item)] if isinstance(value, list | tuple) else []


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours #rrggbb."""

    def light(hexadecimal: str) -> float:
        parts = [int(hexadecimal[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# Colours


def test_both_schemes_have_the_same_tokens() -> None:
    assert F.SCHEMES["light"].keys() == F.SCHEMES["dark"].keys()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_colours_have_the_contrast_of_text(scheme: F.Scheme) -> None:
    palette = F.SCHEMES[scheme]
    for token in ("ink", "muted", *(name for name in palette if name.endswith("-text"))):
        assert contrast(palette[token], palette["paper"]) >= 4.5, token


def test_a_baseline_has_one_colour_whoever_runs_beside_it() -> None:
    alone = F.styles_of(["SoftImpute"])["SoftImpute"]
    crowd = F.styles_of(["Robust AM", "Exact AM", "SoftImpute", "LMaFit"], "Robust AM")["SoftImpute"]
    assert alone == crowd
    assert F.token_of("Adam") == F.token_of("ADAM (lr 0.01)") == "orange"


def test_unknown_contenders_keep_their_colour_from_process_to_process() -> None:
    code = "from ui.figures import token_of; print(token_of('Some new baseline'))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == F.token_of("Some new baseline")


def test_the_method_is_the_accent_and_its_ablations_are_of_its_hue() -> None:
    styles = F.styles_of(["Robust AM", "Robust AM, accelerated", "Theory", "Exact AM"], "Robust AM")
    assert (styles["Robust AM"].colour, styles["Robust AM"].width) == ("@accent", 2.5)
    assert styles["Robust AM, accelerated"].colour == "@accent-2"
    assert (styles["Theory"].colour, styles["Theory"].dash) == ("@ink", "dash")
    assert styles["Exact AM"].width == 1.5
    assert styles["Robust AM"].z > max(style.z for name, style in styles.items() if name != "Robust AM")


def test_no_two_contenders_of_a_figure_look_alike_and_the_first_keeps_its_look() -> None:
    names = [f"baseline {number}" for number in range(18)]
    few, many = F.styles_of(names[:9]), F.styles_of(names)
    assert all(few[name] == many[name] for name in few)
    assert all(a != b for a, b in combinations(many.values(), 2))


def test_resolve_leaves_no_token_and_no_foreign_text_is_one() -> None:
    figure = figure_of("GAMP", "@orange", "@nothing")
    for scheme in ("light", "dark"):
        assert not [text for text in strings(F.resolve(figure, scheme)) if _TOKEN.match(text)]
    assert colour("@accent/0.15", "light") == "rgba(31,95,208,0.15)"
    with pytest.raises(KeyError):
        colour("@no-such-token", "light")


# Axes, labels, frames


def test_every_figure_has_the_same_template() -> None:
    figure = figure_of("A", "B")
    layout = figure["layout"]
    assert layout["uirevision"] == "error"
    assert (layout["hovermode"], layout["hoversort"]) == ("x unified", "value descending")
    assert layout["yaxis"]["showgrid"]
    assert not layout["xaxis"]["showgrid"]
    assert (layout["yaxis"]["type"], layout["yaxis"]["exponentformat"]) == ("log", "power")
    lefts = {fig["layout"]["margin"]["l"] for fig in (figure, figure_of("A"), F.empty(HEAD, "Later."))}
    assert len(lefts) == 1
    units = F.lines(HEAD, [F.Curve("A", [0, 1], [1, 2])], F.Axis("time", "s"), Y)
    assert units["layout"]["xaxis"]["title"]["text"] == "time (s)"


def test_up_to_five_lines_are_named_at_their_ends_more_in_a_legend_below() -> None:
    few, many = figure_of(*"ABCDE"), figure_of(*"ABCDEF")
    named = [item for item in few["layout"]["annotations"] if item.get("name") == "end-label"]
    assert len(named) == 5
    assert not few["layout"]["showlegend"]
    assert many["layout"]["showlegend"]
    assert many["layout"]["legend"]["yanchor"] == "bottom"
    assert not [item for item in many["layout"]["annotations"] if item.get("name") == "end-label"]


def test_labels_never_cover_one_another() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        count = int(generator.integers(1, 9))
        heights = (LINE_PX * generator.integers(1, 3, count)).tolist()
        wanted = generator.uniform(-20, 260, count).tolist()
        places = spread(wanted, heights, -6, 250)
        ends = sorted(
            (place - height / 2, place + height / 2) for place, height in zip(places, heights, strict=True)
        )
        assert all(right[0] >= left[1] - 1e-6 for left, right in pairwise(ends))
        assert [wanted[at] for at in np.argsort(places, kind="stable")] == sorted(wanted)
        if sum(heights) < 256:
            assert ends[0][0] >= -6 - 1e-6
            assert ends[-1][1] <= 250 + 1e-6


def test_a_label_far_from_others_stands_at_its_line() -> None:
    made = end_labels([EndLabel("A", 1.0, "@ink"), EndLabel("B", 100.0, "@ink")], (0.1, 1000.0), True, 240.0)
    assert [item["yshift"] for item in made] == [0, 0]
    assert [item["y"] for item in made] == [0.0, 2.0]


def test_wrapping_breaks_between_words_only() -> None:
    assert wrap("Averaged gradient descent, extrapolated") == [
        "Averaged gradient",
        "descent,",
        "extrapolated",
    ]
    assert wrap("power\u00a01.02") == ["power\u00a01.02"]
    assert wrap("x" * 40) == ["x" * 17 + "…"]


def test_the_empty_frame_has_the_final_size_and_says_what_comes() -> None:
    empty = F.lines(HEAD, [], X, Y, awaits="Appears with the first iteration.")
    full = figure_of("A")
    assert empty["layout"]["height"] == full["layout"]["height"]
    assert not empty["data"]
    assert "Appears with the first iteration." in strings(empty)
    assert "first iteration" in empty["layout"]["meta"]["pw"]["alt"]


def test_thresholds_are_dotted_ink_with_their_label_on_the_line() -> None:
    figure = figure_of("A", thresholds=[F.Threshold(20, "recovery"), F.Threshold(-1, "nowhere", "y")])
    [shape] = figure["layout"]["shapes"]
    assert (shape["line"]["color"], shape["line"]["dash"]) == ("@ink", "dot")
    assert [item["text"] for item in figure["layout"]["annotations"] if item.get("name") == "threshold"] == [
        "recovery"
    ]


def test_a_toggle_brings_its_own_axis_and_hides_the_other_curves() -> None:
    variants = [F.Variant("i", "iterations", X), F.Variant("s", "seconds", F.Axis("CPU time", "s"))]
    curves = [F.Curve("A", [0, 1], [1, 0.5], variant="i"), F.Curve("A", [0.0, 0.2], [1, 0.5], variant="s")]
    figure = F.lines(HEAD, curves, X, Y, variants=variants)
    choice = figure["layout"]["meta"]["pw"]["variants"]
    assert [option["xaxis"]["title"]["text"] for option in choice["options"]] == ["iteration", "CPU time (s)"]
    assert [trace["visible"] for trace in figure["data"]] == [True, False]


# Numbers


def test_not_finite_values_are_gaps_marks_and_words() -> None:
    y = np.array([1.0, np.nan, 0.5, np.inf, np.inf, 0.2, -np.inf, 0.0])
    figure = F.lines(HEAD, [F.Curve("A", np.arange(8), y)], X, Y)
    line, marks = figure["data"]
    assert line["y"][1] is None
    assert line["connectgaps"] is False
    assert marks["text"] == ["NaN", "infinity", "-infinity"]
    assert any("A: 4 not finite" in text for text in strings(figure))
    json.dumps(figure, allow_nan=False)


@pytest.mark.parametrize(
    "values", [[np.nan] * 3, [np.inf, -np.inf, np.nan], [0.0, -1.0, 0.0], [1e308, 1e-308, 1.0]]
)
def test_hopeless_values_still_make_a_figure(values: list[float]) -> None:
    for log in (True, False):
        figure = F.lines(HEAD, [F.Curve("A", [0, 1, 2], values)], X, F.Axis("y", log=log))
        text = json.dumps(figure, allow_nan=False)
        assert all(np.isfinite(end) for end in json.loads(text)["layout"]["yaxis"]["range"])


def test_at_most_two_thousand_points_travel_and_extremes_are_among_them() -> None:
    y = np.sin(np.arange(100_000.0))
    y[77_777], y[5], y[60_000] = 40.0, -30.0, np.nan
    keep = F.thinned(np.arange(100_000.0), y)
    assert len(keep) <= F.MAX_POINTS
    assert {0, 5, 60_000, 77_777, 99_999} <= set(keep.tolist())
    figure = F.lines(HEAD, [F.Curve("A", np.arange(100_000), y)], X, F.Axis("y"))
    assert len(F.unwire(figure["data"][0]["y"])) <= F.MAX_POINTS


@pytest.mark.parametrize("shape", [(5,), (101,), (3, 4), (40, 40), (0,)])
def test_numbers_travel_exactly(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(1).normal(size=shape)
    values.ravel()[:1] = np.inf
    back = F.unwire(json.loads(json.dumps(F.wire(values), allow_nan=False)))
    np.testing.assert_array_equal(back, np.where(np.isfinite(values), values, np.nan))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012341, "0.01234"), (1.2e-7, "1.2e-7"), (12300.0, "12,300"), (float("nan"), "NaN"), (0.0, "0"), (-3.14159, "-3.142"), (None, "none"), (4.2e9, "4.2e9")],
)  # fmt: skip
def test_numbers_in_words(value: float | None, text: str) -> None:
    assert F.number(value) == text


def test_the_range_of_an_axis_ignores_what_it_cannot_show() -> None:
    low, high = span([np.array([np.nan, 0.0, -5.0, 0.1, 10.0, np.inf])], F.Axis(log=True), pad=0.0)
    assert (low, high) == pytest.approx((0.1, 10.0))
    assert span([np.array([3.0])], F.Axis())[0] < 3 < span([np.array([3.0])], F.Axis())[1]


# Other figures


def test_heat_maps_keep_holes_and_centre_differences_at_zero() -> None:
    values = np.array([[1.0, -3.0], [np.nan, np.inf]])
    figure = F.heatmap(HEAD, values, X, F.Axis("rank"), colours="diverging")
    trace = figure["data"][0]
    assert (trace["zmin"], trace["zmax"]) == (-3.0, 3.0)
    assert trace["z"][1] == [None, None]
    assert any("1 of 4 cells not finite" in text for text in strings(figure))
    amounts = F.heatmap(HEAD, np.abs(np.nan_to_num(values)), X, F.Axis("rank"))
    assert amounts["data"][0]["colorscale"] == "Viridis"


def test_a_history_shows_the_newest_and_goes_back_over_shared_axes() -> None:
    steps = [
        (step, F.lines(HEAD, [F.Curve("A", [0, 1], [1.0, 1.0 + step])], X, F.Axis("y")))
        for step in range(100)
    ]
    figure = F.history(steps, "iteration")
    assert len(figure["frames"]) == F.MAX_FRAMES
    assert figure["frames"][-1]["name"] == "99"
    assert figure["data"] == figure["frames"][-1]["data"]
    assert figure["layout"]["yaxis"]["range"][1] > 100
    assert all("yaxis" not in item["layout"] for item in figure["frames"])


def test_names_from_outside_cannot_become_markup() -> None:
    evil = '<a href="javascript:alert(1)">x</a>'
    figure = F.lines(F.Head(evil, evil), [F.Curve(evil, [0, 1], [1, 2])], F.Axis(evil), F.Axis(evil))
    shown = {**figure, "layout": {key: value for key, value in figure["layout"].items() if key != "meta"}}
    traces = [
        {key: value for key, value in trace.items() if key not in ("meta", "uid")} for trace in shown["data"]
    ]
    assert "<a" not in json.dumps([traces, shown["layout"]["annotations"], shown["layout"]["xaxis"]])


def test_bars_and_dots_and_bands_are_json() -> None:
    band = F.Curve("A", [0, 1], [1, 2], low=[0.5, 1], high=[2, 3])
    shown = F.lines(HEAD, [band], X, F.Axis("y"))
    assert [trace.get("fillcolor") for trace in shown["data"]][1] == f"@{F.token_of('A')}/0.15"
    dots = F.scatter(
        HEAD, [F.Curve("A", [0, 1], [1, 2], mode="markers", error=[0.1, 0.2])], X, F.Axis("y"), diagonal=True
    )
    words = F.bars(HEAD, ["a", "b"], [F.Bars("A", [1, np.nan])], X, F.Axis("y"))
    for figure in (shown, dots, words):
        json.dumps(figure, allow_nan=False)


def test_intervals_on_bars_need_not_lie_around_the_value() -> None:
    group = F.Bars("A", [1.0, 0.5], low=[0.25, 0.25], high=[1.0, 1.5])
    figure = F.bars(HEAD, ["a", "b"], [group], X, F.Axis("y"))
    arms = figure["data"][0]["error_y"]
    assert (arms["array"], arms["arrayminus"], arms["symmetric"]) == ([0.0, 1.0], [0.75, 0.25], False)
    assert figure["layout"]["yaxis"]["range"][1] > 1.5, "the intervals have room"


def test_the_script_and_the_styles_need_nothing_from_elsewhere() -> None:
    assert "__SCHEMES__" not in F.script()
    assert F.SCHEMES["dark"]["accent"] in F.script()
    assert not [text for text in (F.script(), F.styles()) if "http://" in text or "https://" in text]


def test_a_frame_without_data_has_both_axes() -> None:
    assert {"xaxis", "yaxis"} <= frame(HEAD, X, Y)["layout"].keys()

"""The figures of a race: the board with its scores and its slider, budgets on three axes, the calls of the race."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from ttsnap_record import recorded

from engines.events import Array, Axis, Event, Scalar
from ui.figures import resolve
from ui.tabs.images import ttsnap_board, ttsnap_race
from ui.tabs.images.ttsnap import VIEW

GREEN = (0, 200, 0)


def built(tmp_path, key: str, events: list[Event]) -> dict[str, Any]:
    figure = next(spec for spec in VIEW.figures if spec.key == key).build(recorded(tmp_path, {}, events))
    json.dumps(figure, allow_nan=False)
    return figure


def pictures(name: str, step: float, seeds: list[int], side: int, keep: bool = True) -> Array:
    axes = (
        Axis("seed", np.array(seeds, float)),
        *(Axis(n, np.arange(k)) for n, k in (("row", side), ("column", side), ("colour", 3))),
    )
    return Array(name, step, np.full((len(seeds), side, side, 3), GREEN, np.uint8), axes, keep)


def told(name: str, step: float, seeds: list[int], *columns: list[float], keep: bool = True) -> Array:
    what = Axis("what", [f"w{k}" for k in range(len(columns))])
    return Array(name, step, np.array(columns, float).T, (Axis("seed", np.array(seeds, float)), what), keep)


def race(*, all_finished: bool = True) -> Iterator[Event]:
    """Four seeds, two of them cut at step 1, one look at step 2, seed 2 wins at step 4."""
    yield pictures("board", 1, [0, 1, 2, 3], 64)
    yield told("board scores", 1, [0, 1, 2, 3], [0.1, 1.25, 1.5, -2.0], [0, 1, 1, 0])
    yield pictures("estimates", 2, [1, 2], 32)
    yield told("estimate scores", 2, [1, 2], [1.75, 1.8])
    yield pictures("board", 4, [1, 2], 64)
    yield told("board scores", 4, [1, 2], [2.0, 2.5], [0, 1])
    done = [0, 1, 2, 3] if all_finished else [1, 2]
    yield pictures("finished", 4, done, 64, keep=False)
    yield told(
        "finished scores", 4, done, [float(n) for n in done], [float(n == 2) for n in done], keep=False
    )


def scores(traces: list[dict[str, Any]], uid: str) -> dict[tuple[float, float], str]:
    """Text by place, of the row of cuts or of the film."""
    found = {}
    for trace in (t for t in traces if t["uid"].startswith(uid)):
        found |= dict(zip(zip(trace["x"], trace["y"], strict=True), trace["text"], strict=True))
    return found


def cells(trace: dict[str, Any]) -> np.ndarray:
    """The picture of an image trace."""
    from PIL import Image

    return np.asarray(
        Image.open(io.BytesIO(base64.b64decode(trace["source"].partition(",")[2]))).convert("RGBA")
    )


def test_scores_stand_in_the_cells_muted_where_a_seed_was_cut(tmp_path):
    figure = built(tmp_path, "board", list(race()))
    order = figure["layout"]["xaxis"]["ticktext"]
    assert order == ["2", "1", "0", "3"], "the winner, then who stayed longest, then by score"
    kept, cut = (next(t for t in figure["data"] if t["uid"] == f"score-{end}") for end in ("stays", "cut"))
    assert kept["textfont"]["color"] == "@ink"
    assert cut["textfont"]["color"] == "@muted"
    assert set(kept["text"]) == {"1.50", "1.25", "2.00", "1.00"}
    assert set(cut["text"]) == {"0.10", "-2.00", "0.00", "3.00"}


def test_cut_cells_are_grey_and_the_winner_is_framed_in_every_row(tmp_path):
    figure = built(tmp_path, "board", list(race()))
    first = cells(next(t for t in figure["data"] if t["uid"] == "board-1"))
    pitch = first.shape[1] // 4
    middle = [first[first.shape[0] // 2, column * pitch + pitch // 2, :3] for column in range(4)]
    assert [int(np.ptp(colour)) > 50 for colour in middle] == [True, True, False, False]
    frames = figure["layout"]["shapes"]
    assert [shape["line"]["color"] for shape in frames] == ["@accent"] * 2
    assert {shape["x0"] for shape in frames} == {-0.5}
    assert "Seed 2 won." in figure["layout"]["meta"]["pw"]["alt"]


def test_the_slider_shows_every_seed_where_it_stands_or_where_it_was_cut(tmp_path):
    figure = built(tmp_path, "board", list(race()))
    names = figure["layout"]["meta"]["pw"]["frames"]["names"]
    assert names == ["1", "2", "4"]
    by_step = [
        list(scores([t for t in f["data"] if not isinstance(t, int)], "film-score").values())
        for f in figure["frames"]
    ]
    assert sorted(by_step[1]) == sorted(["1.75", "1.80", "0.10", "-2.00"])
    assert sorted(by_step[2]) == sorted(["1.00", "2.00", "0.10", "-2.00"]), (
        "seeds cut keep what was said of them there"
    )
    still = [item for item in figure["frames"][0]["data"] if isinstance(item, int)]
    assert still == list(range(len(figure["data"]) - 3)), "rows of cuts are sent once"
    assert figure["frames"][1]["layout"]["yaxis"]["ticktext"][0] == "<b>step 2</b>"
    resolve(figure, "dark")


def test_what_was_not_finished_is_not_in_the_last_row(tmp_path):
    figure = built(tmp_path, "board", list(race(all_finished=False)))
    last = max(at for _, at in scores(figure["data"], "score"))
    assert sorted(t for (_, at), t in scores(figure["data"], "score").items() if at == last) == [
        "1.00",
        "2.00",
    ]
    assert "Seed 2 won." in figure["layout"]["meta"]["pw"]["alt"]


def test_the_board_grows_with_the_race(tmp_path):
    events = list(race())
    for end in range(2, len(events) + 1):
        folder = tmp_path / str(end)
        folder.mkdir()
        assert built(folder, "board", events[:end])["data"]


def test_a_wide_board_is_dragged(tmp_path):
    seeds = list(range(40))
    events = [
        pictures("board", 1, seeds, 8),
        told("board scores", 1, seeds, [float(n) / 7 for n in seeds], [1.0] * 40),
    ]
    layout = built(tmp_path, "board", events)["layout"]
    assert layout["dragmode"] == "pan"
    assert layout["xaxis"]["title"]["text"].endswith("drag for the other 10")
    assert layout["xaxis"]["range"] == [-0.5, ttsnap_board.WIDE_COLUMNS - 0.5]
    assert layout["meta"]["pw"]["narrow_x"] == [-0.5, ttsnap_board.NARROW_COLUMNS - 0.5]


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ([1.2, 2.9, -0.4], 2),
        ([0.271, 0.279, 0.288], 3),
        ([4.0, 2.5, 1.0], 0),
        ([120.0, 310.0, 225.3], 1),
        ([float("nan")], 0),
    ],
)
def test_scores_have_the_decimals_that_their_spread_needs(values, digits):
    cell = [ttsnap_race.Cell(np.zeros((2, 2, 3), np.uint8), v, True) for v in values]
    assert ttsnap_race.decimals([ttsnap_race.Row(0, dict(enumerate(cell)))]) == digits


def budgets(*, seconds: bool = True, teraflops: float | None = 2.0) -> list[Event]:
    events: list[Event] = []
    for name in ("TTSnap", "Best of N", "Oracle pruning"):
        for budget in (100.0, 200.0):
            events.append(Scalar(name, "final reward over budgets", budget, budget / 100))
            events.append(Scalar(name, "spread over budgets", budget, 0.1))
            if seconds:
                events.append(Scalar(name, "seconds of the budget", budget, budget / 50))
    return events + ([Scalar("A call", "TFLOPs", 0, teraflops)] if teraflops else [])


def test_budgets_are_told_in_calls_operations_and_seconds_with_bands_on_all(tmp_path):
    figure = built(tmp_path, "budget", budgets())
    options = figure["layout"]["meta"]["pw"]["variants"]["options"]
    assert [option["label"] for option in options] == ["calls", "TFLOPs", "seconds"]
    by_variant = {
        key: [t for t in figure["data"] if t.get("meta", {}).get("variant") == key]
        for key in ("calls", "work", "seconds")
    }
    for found in by_variant.values():
        assert len([t for t in found if t.get("fill")]) == 3, "a band for every series"
    (own,) = [
        t for t in by_variant["work"] if t["name"] == "TTSnap" and not t.get("fill") and len(t["x"]) == 2
    ]
    assert own["x"] == [200.0, 400.0]


def test_small_models_are_told_in_smaller_units_and_unknown_costs_not_at_all(tmp_path):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    small = built(tmp_path / "one", "budget", budgets(teraflops=2e-4))
    assert [o["label"] for o in small["layout"]["meta"]["pw"]["variants"]["options"]] == [
        "calls",
        "GFLOPs",
        "seconds",
    ]
    bare = built(tmp_path / "two", "budget", budgets(seconds=False, teraflops=None))
    assert "variants" not in bare["layout"]["meta"]["pw"]
    assert len([t for t in bare["data"] if t.get("fill")]) == 3


def test_the_calls_of_the_race_say_how_many_raced(tmp_path):
    events = []
    for step, seeds, calls in ((0, 30, 33.6), (5, 18, 126.0), (19, 1, 195.0)):
        events.append(Scalar("TTSnap", "seeds in the race", step, seeds))
        events.append(Scalar("TTSnap", "calls spent", step, calls))
    figure = built(tmp_path, "race", events)
    told = [note["text"] for note in figure["layout"]["annotations"]]
    assert {"30 seeds", "18 seeds", "1 seed"} <= set(told)
    assert "18 seeds to step 5" in figure["layout"]["meta"]["pw"]["alt"]

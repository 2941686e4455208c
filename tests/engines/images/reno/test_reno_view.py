"""What the page shows of ReNO: figures from a record, the before under a picture, and where a noise file can go."""

import pytest

from engines.images.reno.experiment import ENGINE
from ui import live
from ui.live_pictures import groups
from ui.live_stage import markup
from ui.tabs.images.reno import VIEW
from workbench.runs import Workbench
from workbench.settings import Settings


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    settings = Settings.at(tmp_path_factory.mktemp("home"), executor="inline", device="cpu")
    with Workbench.open(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def run(bench):
    created = bench.create("reno", preset="smoke", seed=3)
    return bench.run_inline(created.id)


def built(bench, run, key):
    return next(spec for spec in VIEW.figures if spec.key == key).build(bench.record(run.id))


def test_the_race_has_three_axes_and_cuts_best_of_n_at_equal_iterations(bench, run):
    figure = built(bench, run, "reward")
    chosen = figure["layout"]["meta"]["pw"]["variants"]["options"]
    assert [option["key"] for option in chosen] == ["iterations", "passes", "seconds"]
    best = next(
        trace
        for trace in figure["data"]
        if trace["name"] == "Best of N" and trace.get("visible", True) is True
    )
    assert max(best["x"]) <= 2


def test_the_norm_has_its_band_and_the_gradient_its_clip(bench, run):
    shapes = built(bench, run, "norm")["layout"]["shapes"]
    assert [shape["type"] for shape in shapes].count("rect") == 1
    assert any(note["text"] == "clip" for note in built(bench, run, "gradient")["layout"]["annotations"])


@pytest.mark.parametrize(
    "key", ["met", "gains", "watched-template-less-blur", "difference", "histogram", "autocorrelation"]
)
def test_every_figure_has_something_after_a_run(bench, run, key):
    assert built(bench, run, key)["data"]


@pytest.mark.parametrize(
    ("changes", "watched"),
    [
        ({}, ["Template"]),
        ({"weight_r2": 0.0}, ["Template", "R2"]),
        ({"model": "closed-form"}, ["Template less blur"]),
        ({"model": "sd-turbo"}, []),
        ({"model": "sd-turbo", "watch": ["aesthetic", "clip"]}, ["LAION aesthetic"]),
        (
            {"model": "sd-turbo", "watch": ["aesthetic", "clip"], "weight_clip": 0.0},
            ["CLIP", "LAION aesthetic"],
        ),
    ],
)
def test_each_watched_reward_has_a_figure_and_nothing_else_waits_for_ever(changes, watched):
    specs = [spec for spec in VIEW.specs(changes) if spec.key.startswith("watched")]
    assert [spec.title.partition(",")[0] for spec in specs] == watched


def test_a_figure_of_the_watched_is_what_the_run_says(bench):
    created = bench.create(
        "reno",
        {"model": "embedded-g", "weight_r2": 0.0, "iterations": 2, "compare": []},
        preset="smoke",
        seed=3,
    )
    record = bench.record(bench.run_inline(created.id).id)
    said = {info.name.partition(": ")[2] for info in record.series() if info.name.startswith("not optimised")}
    specs = [spec for spec in VIEW.specs(record.run.params, record) if spec.key.startswith("watched")]
    assert {spec.title.partition(",")[0] for spec in specs} == said == {"Template", "R2"}
    assert all("ReNO" in [trace["name"] for trace in spec.build(record)["data"]] for spec in specs)
    ways = live.file_uses(bench, ENGINE, record.run, record.files())["noise"]
    assert [words for words, _ in ways] == ["Continue from it", "Send to TTSnap"]


@pytest.fixture(scope="module")
def measured(bench):
    created = bench.create("reno", {"experiment": "list", "seeds": 1}, preset="smoke", seed=3)
    return bench.run_inline(created.id)


def test_the_bars_carry_the_intervals_of_the_table(bench, measured):
    """Wilson's intervals do not lie around the share: 2 of 2 is .34 to 1."""
    table = bench.record(measured.id).tables()["95 % intervals"]
    written = {row[0]: row[1:] for row in table.rows}
    traces = built(bench, measured, "accuracy")["data"]
    assert {trace["name"] for trace in traces} >= {"ReNO", "Plain picture"}
    for trace in traces:
        share, arms = trace["y"], trace["error_y"]
        drawn = [
            f"{middle - below:.2f} to {middle + above:.2f}"
            for middle, below, above in zip(share, arms["arrayminus"], arms["array"], strict=True)
        ]
        assert drawn == written[trace["name"]]
        assert not arms["symmetric"]


def test_the_accuracy_belongs_to_lists():
    keys = {spec.key for spec in VIEW.specs({"experiment": "list"})}
    assert "accuracy" in keys
    assert "norm" not in keys
    assert "rewards" not in keys, "where there is a checker, its verdicts are shown"
    full = {spec.key for spec in VIEW.specs({"experiment": "list", "model": "sd-turbo"})}
    assert "rewards" in full
    assert "accuracy" not in full
    assert "accuracy" not in {spec.key for spec in VIEW.specs({"experiment": "prompt"})}


def test_halving_is_drawn_by_the_passes_that_it_took(bench, run):
    """One row of the smoke run has two noises in the first iteration and one in the second."""
    passes = next(
        trace
        for trace in built(bench, run, "reward")["data"]
        if trace["name"] == "ReNO, halving" and trace["meta"]["variant"] == "passes"
    )
    assert passes["x"] == [6.0, 9.0, 12.0]


def test_pictures_stand_first_and_carry_what_was_before(bench, run):
    page = markup(ENGINE, VIEW)
    assert page.index('data-part="pictures"') < page.index('data-part="figures"')
    found = groups(bench.record(run.id).pictures(), VIEW.pictures)
    assert [group["key"] for group in found][:3] == ["Before and after", "Every iteration", "Contenders"]
    names = [item["name"] for item in found[0]["items"]]
    assert names == ["Before and after/noise 1", "Before and after/noise 2"]
    assert all(len(item["before"]) == 64 and "reward" in item["beforeWords"] for item in found[0]["items"])
    assert found[2]["items"][0]["name"] == "Contenders/Plain picture"
    assert not found[1]["items"][0]["before"]


def test_the_noise_can_go_on(bench, run):
    record = bench.record(run.id)
    ways = live.file_uses(bench, ENGINE, record.run, record.files())["noise"]
    assert [words for words, _ in ways] == ["Continue from it"], "no other model takes the stand-in's noise"
    where = ways[0][1]
    filled = live.address.parse(where).filled
    assert filled["params"]["noise"].startswith("sha256:")
    assert filled["params"]["model"] == "closed-form"
    again = bench.create(
        "reno", {**filled["params"], "iterations": 1, "warm_start": 3, "compare": []}, seed=filled["seed"]
    )
    assert bench.run_inline(again.id).status == "finished"


def test_the_page_is_told_of_the_file_and_its_ways(bench, run):
    said = live.patch(bench, ENGINE, VIEW, run.id, 0)
    assert "noise.safetensors" in said["files"]
    assert "Continue from it" in said["files"]

"""Sweeps: axes as people write them, every cell checked before the first exists, cells as ordinary runs."""

from __future__ import annotations

import itertools
import json
import shlex

import pytest

from storage import RunQuery, Status, Store, import_bundle
from ui.library import listing
from workbench import sweep_results, sweeps
from workbench.errors import InvalidParams, RunIsActive, UnknownRun, UsageError
from workbench.exports import export
from workbench.sweep_axes import Axis, parse_axes, text_of
from workbench.sweeps import Plan


def axes_of(workbench, *words):
    engine = workbench.catalog.engine("fixture")
    return {axis.name: list(axis.values) for axis in parse_axes(engine, words, workbench.ingest)}


@pytest.mark.parametrize(
    ("word", "values"),
    [
        ("steps=2,5,10", [2, 5, 10]),
        ("steps=5:50:15", [5, 20, 35, 50]),
        ("steps=5:49:15", [5, 20, 35]),
        ("steps=3:5", [3, 4, 5]),
        ("steps=1:1000:*10", [1, 10, 100, 1000]),
        ("rate=.1,.2,.4", [0.1, 0.2, 0.4]),
        ("rate=.1:.7:.1", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        ("rate=1e-3:1:*10", [0.001, 0.01, 0.1, 1.0]),
        ("mode=plain,nan", ["plain", "nan"]),
        ("is_loud=true,off", [True, False]),
        ('label=["a,b","c"]', ["a,b", "c"]),
        ("label=1:2", ["1:2"]),  # a text is no range
        ("sizes=[[1,2],[3]]", [[1, 2], [3]]),
    ],
)
def test_values_of_an_axis(workbench, word, values) -> None:
    (found,) = axes_of(workbench, word).values()
    assert found == values
    assert [type(one) for one in found] == [type(one) for one in values]


@pytest.mark.parametrize(
    ("words", "error", "sentence"),
    [
        ([], UsageError, "one to three axes; got 0"),
        (["steps"], UsageError, "--over takes name=values"),
        (["stepps=1,2"], InvalidParams, "Did you mean steps"),
        (["steps=1,2", "steps=3"], UsageError, "steps stands on two axes"),
        (["steps=1,1"], InvalidParams, "must not have a value twice; got 1"),
        (["rate=.5,0.5"], InvalidParams, "value twice"),
        (["steps=5:1"], InvalidParams, "needs a range that rises"),
        (["steps=1:9:0"], InvalidParams, "needs a range that rises"),
        (["steps=0:9:*2"], InvalidParams, "needs a range that rises"),
        (["steps=1:two"], InvalidParams, "cannot be read as a range"),
        (["steps=1:nan"], InvalidParams, "cannot be read as a range"),
        (["steps=1:2:.5"], InvalidParams, "takes whole numbers; '1:2:.5' also gives 1.5"),
        (["steps=1:100000"], InvalidParams, "at most 200 values"),
        (["sizes=1,2"], InvalidParams, "JSON list of lists"),
        (["sizes=[1"], InvalidParams, "must be a JSON list"),
        (["steps=1", "rate=1", "mode=plain", "label=a"], UsageError, "got 4"),
    ],
)
def test_axes_that_cannot_be_read(workbench, words, error, sentence) -> None:
    with pytest.raises(error, match=sentence):
        axes_of(workbench, *words)


@pytest.mark.parametrize(
    "values", [(1, 2.5, 1e-7), ("plain", "nan"), ("a,b", "c"), ([1, 2], [3]), (True, False)]
)
def test_values_written_down_are_read_back(workbench, values) -> None:
    name = {int: "rate", bool: "is_loud", list: "sizes"}.get(type(values[0]), "label")
    if isinstance(values[0], bool):
        name = "is_loud"
    (found,) = axes_of(workbench, f"{name}={text_of(values)}").values()
    assert found == list(values)


def plan(**options) -> Plan:
    axes = options.pop("axes", (Axis("steps", (2, 3)), Axis("rate", (0.25, 0.5))))
    return Plan("fixture", axes, options.pop("seeds", (0, 1)), "smoke", options.pop("values", {}))


def run_all(workbench, sweep):
    for run_id in sweep.run_ids:
        workbench.run_inline(run_id)
    return sweeps.read(workbench, sweep.run.id)


def test_cells_are_ordinary_runs_under_the_sweep(workbench) -> None:
    made = sweeps.create(workbench, plan(values={"label": "x"}), tags=("try",), note="two by two")
    assert [(cell.point["steps"], cell.point["rate"], cell.seed) for cell in made.cells] == list(
        itertools.product((2, 3), (0.25, 0.5), (0, 1))
    )
    assert made.counts == {"queued": 8}
    for cell in made.cells:
        run = cell.row.run
        assert run.parent_id == made.run.id
        assert run.tags == ("try",)
        assert run.params == workbench.validate("fixture", {"label": "x", **cell.point}, "smoke").model_dump()
    over = run_all(workbench, made)
    assert over.is_over
    assert over.counts == {"finished": 8}
    alone = workbench.submit("fixture", {"label": "x", "steps": 3, "rate": 0.25}, preset="smoke", seed=1)
    cell = next(c for c in over.cells if dict(c.point) == {"steps": 3, "rate": 0.25} and c.seed == 1)
    for series, name in (("Ours", "error"), ("Base", "error")):
        of_cell, of_run = (
            workbench.record(i).points(series, name).values for i in (cell.row.run.id, alone.id)
        )
        assert of_cell.tolist() == of_run.tolist()


def test_the_sweep_itself_is_never_executed(make_workbench) -> None:
    bench = make_workbench(executor="process")
    made = sweeps.create(bench, plan(seeds=(0,)))
    sweeps.start(bench, made)
    for run_id in made.run_ids:
        assert bench.follow(run_id).status is Status.finished
    parent = bench.run(made.run.id)
    assert parent.status is Status.finished
    assert parent.worker == ""
    assert bench.record(parent.id).series() == []


def test_all_cells_are_checked_before_the_first_exists(workbench) -> None:
    with pytest.raises(InvalidParams) as caught:
        sweeps.create(workbench, plan(axes=(Axis("rate", (0.5, 1.5)), Axis("steps", (1, 0)))))
    assert {error.field for error in caught.value.errors} == {"rate", "steps"}
    assert len(caught.value.errors) == 2  # each told once, not once a cell
    assert workbench.runs().total == 0


def test_a_refusal_of_the_engine_names_the_cell(workbench) -> None:
    empty = workbench.ingest(b"", "empty.txt")
    good = workbench.ingest(b"x", "good.txt")
    with pytest.raises(InvalidParams, match="photo must not be empty"):
        sweeps.create(workbench, plan(axes=(Axis("photo", (good, empty)),)))
    with pytest.raises(InvalidParams, match=r"rate must be .* \(in the cell steps=2\)"):
        sweeps.create(workbench, plan(axes=(Axis("steps", (2, 3)),), values={"rate": 7}))
    assert workbench.runs().total == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"values": {"steps": 4}}, "steps is both on an axis and set"),
        ({"seeds": ()}, "1 to 100 different seeds"),
        ({"seeds": (1, 1)}, "1 to 100 different seeds"),
        ({"seeds": (-1,)}, "seed must be a whole number"),
        ({"axes": (Axis("steps", tuple(range(1, 101))), Axis("rate", tuple(i / 100 for i in range(1, 101))))}, "at most 1,000 cells; this one has 20,000"),
        ({"axes": (Axis("steps", (1, 1.0)),)}, "value twice"),
    ],
)  # fmt: skip
def test_plans_that_are_none(workbench, options, sentence) -> None:
    with pytest.raises(UsageError, match=sentence):
        sweeps.create(workbench, plan(**options))
    assert workbench.runs().total == 0


def test_failed_cells_are_marked_and_can_be_run_again(workbench) -> None:
    made = run_all(
        workbench, sweeps.create(workbench, plan(axes=(Axis("mode", ("plain", "fail")),), seeds=(0, 1)))
    )
    assert made.counts == {"finished": 2, "failed": 2}
    plain, failed = sweep_results.summarize(made, sweep_results.values_of(workbench, made))
    assert (len(plain.values), plain.failed) == (2, 0)
    assert plain.low <= plain.mean <= plain.high
    assert (failed.values, failed.failed, failed.mean) == ((), 2, None)
    again = sweeps.repeat(workbench, made.run.id)
    assert {(run.params["mode"], run.seed) for run in again} == {("fail", 0), ("fail", 1)}
    assert sweeps.read(workbench, made.run.id).counts == {"finished": 2, "queued": 2}
    workbench.delete(plain_run := made.cells[0].row.run.id)
    assert sweeps.read(workbench, made.run.id).cells[0].status == "missing"
    assert plain_run not in sweeps.read(workbench, made.run.id).run_ids


def test_the_summary_is_the_mean_over_seeds(workbench) -> None:
    made = run_all(workbench, sweeps.create(workbench, plan(axes=(Axis("steps", (2, 4)),), seeds=(3, 4, 5))))
    for summary in sweep_results.summarize(made, sweep_results.values_of(workbench, made)):
        runs = workbench.runs(RunQuery(parent_id=made.run.id)).rows
        values = [row.headline for row in runs if row.run.params["steps"] == summary.point["steps"]]
        assert sorted(summary.values) == sorted(values)
        assert summary.mean == pytest.approx(sum(values) / 3)
    base = sweep_results.values_of(workbench, made, ("Base", "error"))
    assert base == {i: workbench.record(i).points("Base", "error").values[-1] for i in made.run_ids}
    assert sweep_results.quantities(workbench, made)[0] == ("Ours", "error")


def test_cancelling_a_sweep_cancels_its_cells(workbench) -> None:
    made = sweeps.create(workbench, plan())
    workbench.run_inline(made.run_ids[0])
    sweeps.cancel(workbench, made.run.id)
    assert sweeps.read(workbench, made.run.id).counts == {"finished": 1, "cancelled": 7}


def with_replaced_attempts(workbench):
    """A sweep with a finished cell, a failed one that was run again, and the new attempt still queued."""
    made = sweeps.create(workbench, plan(axes=(Axis("mode", ("plain", "fail")),), seeds=(0,)))
    run_all(workbench, made)
    [again] = sweeps.repeat(workbench, made.run.id)
    return made, {*made.run_ids, again.id}


def test_everything_holds_replaced_attempts_and_no_forks(workbench) -> None:
    made, runs = with_replaced_attempts(workbench)
    workbench.fork(made.run_ids[0])
    found = [run.id for run in sweeps.everything(workbench, made.run.id)]
    assert found == sorted(runs), "oldest first"
    with pytest.raises(UnknownRun, match="no sweep"):
        sweeps.everything(workbench, found[0])


def test_deleting_a_sweep_leaves_nothing_of_it(workbench) -> None:
    other = workbench.create("fixture", preset="smoke")
    made, runs = with_replaced_attempts(workbench)
    assert set(sweeps.delete(workbench, made.run.id)) == {made.run.id, *runs}
    assert [row.run.id for row in workbench.runs().rows] == [other.id]


def test_a_sweep_with_a_running_cell_is_not_deleted(workbench) -> None:
    made = sweeps.create(workbench, plan())
    workbench.store.claim_run(made.run_ids[0], "somewhere/1")
    with pytest.raises(RunIsActive, match="a cell is still running"):
        sweeps.delete(workbench, made.run.id)
    assert sweeps.read(workbench, made.run.id).counts == {"running": 1, "queued": 7}


def test_delete_on_the_command_line_takes_replaced_attempts_along(run_cli, workbench) -> None:
    made, runs = with_replaced_attempts(workbench)
    code, out, _ = run_cli("delete", made.run.id, "--yes", "--json")
    assert code == 0
    assert set(json.loads(out)["deleted"]) == {made.run.id, *runs}
    assert workbench.runs().total == 0


def test_one_bundle_takes_the_whole_sweep_along(workbench, tmp_path) -> None:
    made = run_all(workbench, sweeps.create(workbench, plan(seeds=(0,))))
    ids = sweeps.members(workbench, [made.run.id])
    assert ids == [made.run.id, *made.run_ids]
    export(workbench, ids, tmp_path / "sweep.zip", "bundle")
    with Store.open(f"sqlite:///{tmp_path}/other.db", str(tmp_path / "files")) as other:
        assert set(import_bundle(other, tmp_path / "sweep.zip")) == set(ids)
        there = type(workbench)(workbench.settings, workbench.catalog, other)
        found = sweeps.read(there, made.run.id)
        assert found.plan == made.plan
        assert found.counts == {"finished": 4}
        assert sweep_results.values_of(there, found) == sweep_results.values_of(workbench, made)


def test_other_runs_are_no_sweeps(workbench) -> None:
    run = workbench.create("fixture", preset="smoke")
    with pytest.raises(UnknownRun, match="no sweep"):
        sweeps.read(workbench, run.id)
    fork = workbench.fork(run.id)
    assert sweeps.members(workbench, [run.id]) == [run.id]  # a fork is no cell
    assert fork.parent_id == run.id


def test_reading_a_sweep_costs_the_same_however_many_cells(workbench, monkeypatch) -> None:
    database = workbench.store.database
    asked = []
    read = database.read
    monkeypatch.setattr(database, "read", lambda work: (asked.append(work), read(work))[1])
    counts = []
    for seeds in (2, 12):
        made = sweeps.create(workbench, plan(seeds=tuple(range(seeds))))
        asked.clear()
        sweep_results.values_of(workbench, sweeps.read(workbench, made.run.id), ("Ours", "error"))
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 4


def test_the_command_line_makes_the_same_plan(workbench) -> None:
    given = sweeps.check(workbench, plan(values={"label": "two words"}, seeds=(4, 5)))
    words = shlex.split(sweeps.command_line(workbench.catalog, given))
    from workbench.cli.parser import parse_arguments
    from workbench.cli.sweeping import _made

    assert _made(workbench, parse_arguments(words[1:])).plan == given


def test_from_the_command_line(run_cli, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("WORKBENCH_EXECUTOR", "inline")
    words = (
        "sweep",
        "fixture",
        "--preset",
        "smoke",
        "--over",
        "steps=2,3",
        "--over",
        "mode=plain,fail",
        "--seeds",
        "2",
    )
    code, out, err = run_cli(*words, "--json")
    document = json.loads(out)
    assert code == 1
    assert document["sweep"]["counts"] == {"finished": 4, "failed": 4}
    assert [cell["status"] for cell in document["cells"]] == ["finished", "finished", "failed", "failed"] * 2
    assert "steps 2, mode fail, seed 0 failed. The engine stopped with ZeroDivisionError" in err
    sweep = document["sweep"]["id"]
    assert f"--resume {sweep}" in err
    code, out, _ = run_cli("sweep", "--resume", sweep, "--json")
    assert code == 1
    assert json.loads(out)["sweep"]["counts"] == {"finished": 4, "failed": 4}
    code, out, _ = run_cli("sweep", "fixture", "--preset", "smoke", "--over", "steps=2:3")
    assert code == 0
    assert "fixture: 2 finished   sweep" in out
    assert out.splitlines()[0].split() == ["steps", "error", "of", "Ours", "runs"]
    code, out, _ = run_cli("export", sweep, "--to", str(tmp_path / "s.zip"), "--json")
    assert len(json.loads(out)["runs"]) == 9


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["sweep"], "Name the engine"),
        (["sweep", "fixture"], "one to three axes"),
        (["sweep", "fixture", "--over", "steps=0,1"], "steps must be"),
        (["sweep", "--resume", "last", "--over", "steps=1"], "leave engine"),
        (["sweep", "fixture", "--over", "seed=0,1"], "--seeds N gives every cell N seeds"),
    ],
)
def test_wrong_usage(run_cli, words, sentence) -> None:
    code, _, err = run_cli(*words)
    assert code == 2
    assert sentence in err


def test_a_detached_sweep_waits_for_a_server(run_cli, make_workbench) -> None:
    code, out, _ = run_cli("sweep", "fixture", "--preset", "smoke", "--over", "steps=2,3", "--detach")
    assert code == 0
    bench = make_workbench(executor="inline")
    assert sweeps.read(bench, out.strip()).counts == {"queued": 2}
    code, out, _ = run_cli("cancel", out.strip(), "--json")
    assert code == 0
    assert bench.runs(RunQuery(statuses=("cancelled",))).total == 2


def test_a_command_takes_only_its_own_runs(make_workbench) -> None:
    bench = make_workbench(executor="process")
    older = bench.create("fixture", preset="smoke")
    made = sweeps.create(bench, plan(axes=(Axis("steps", (2,)),), seeds=(0,)))
    bench.execute_only(made.run_ids)
    sweeps.start(bench, made)
    assert bench.follow(made.run_ids[0]).status is Status.finished
    assert bench.run(older.id).status is Status.queued


def test_a_list_says_where_a_sweep_stands_by_its_cells(run_cli, workbench) -> None:
    made = sweeps.create(workbench, plan(axes=(Axis("mode", ("plain", "fail")),), seeds=(0,)))
    workbench.fork(workbench.create("fixture", preset="smoke").id)  # no cells of any sweep

    def listed() -> tuple[str, dict[str, int]]:
        [row] = json.loads(run_cli("runs", "--engine", "sweep", "--json")[1])
        words = run_cli("runs", "--engine", "sweep")[1]
        assert f" {row['status']} " in words
        return row["status"], row["cells"]

    assert listed() == ("queued", {"queued": 2})
    workbench.store.claim_run(made.run_ids[0], "somewhere/1")
    assert listed() == ("running", {"queued": 1, "running": 1})
    for run_id in made.run_ids:
        workbench.store.finish_run(run_id, Status.failed, "It broke.")
    assert listed() == ("finished", {"failed": 2})
    html = listing.answer(workbench, {"engine": "sweep"})
    assert not html["running"]
    sweeps.repeat(workbench, made.run.id)
    html = listing.answer(workbench, {"engine": "sweep"})
    assert html["running"]
    assert 'data-state="queued"' in html["html"]
    assert "from=" not in html["html"], "a plan has no form to be forked in"


def test_showing_a_sweep_tells_every_cell(run_cli, workbench) -> None:
    made = sweeps.create(workbench, plan(axes=(Axis("steps", (2, 3)),), seeds=(0,)), note="two")
    workbench.run_inline(made.run_ids[0])
    code, out, _ = run_cli("show", made.run.id)
    assert code == 0
    for words in (*made.run_ids, "steps 2, seed 0", "1 finished, 1 queued", "--over steps=2,3", "two"):
        assert words in out
    document = json.loads(run_cli("show", made.run.id, "--json")[1])
    assert document["run"]["status"] == "queued"
    assert [cell["status"] for cell in document["cells"]] == ["finished", "queued"]
    assert document["sweep"]["counts"] == {"finished": 1, "queued": 1}
    code, _, err = run_cli("run", "--from", made.run.id)
    assert code == 2
    assert f"workbench sweep --resume {made.run.id}" in err
    assert "workbench sweep fixture --preset smoke --over steps=2,3 --seeds 1" in err

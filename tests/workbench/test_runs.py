import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engines.contract import Context, Engine, Run
from engines.events import Event, Progress
from storage import RunQuery, Status
from workbench.catalog import Catalog, Origin
from workbench.errors import FileTrouble, InvalidParams, RunIsActive, UnknownEngine, UnknownRun, UsageError
from workbench.recorder import CANCEL
from workbench.runs import Workbench
from workbench.values import MAX_SEED

Make = Callable[..., Workbench]


def test_create_writes_all_that_repeats_the_run(workbench: Workbench) -> None:
    run = workbench.create(
        "fixture", {"rate": 0.25}, preset="smoke", seed=5, tags=("a",), note="hello", owner="me"
    )
    assert run.status is Status.queued
    assert (run.params["rate"], run.params["steps"], run.seed, run.preset) == (0.25, 3, 5, "smoke")
    assert (run.owner, run.note, run.tags, run.engine_version) == ("me", "hello", ("a",), "1.0")
    assert (run.headline_series, run.headline_name) == ("Ours", "error")
    assert workbench.create("fixture").seed == 0


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 1.5, "3", True])
def test_seeds_are_checked(workbench: Workbench, seed: Any) -> None:
    with pytest.raises(InvalidParams, match="seed must be a whole number from 0 to 4294967295"):
        workbench.create("fixture", seed=seed)


def test_nothing_is_recorded_of_a_refused_run(workbench: Workbench) -> None:
    empty = workbench.ingest(b"", "empty.png")
    missing = f"sha256:{'0' * 64}/gone.png"
    for error, arguments in (
        (UnknownEngine, ("nobody", {})),
        (InvalidParams, ("fixture", {"steps": 0})),
        (InvalidParams, ("fixture", {"photo": empty})),
        (InvalidParams, ("fixture", {"photo": missing})),
    ):
        with pytest.raises(error):
            workbench.create(*arguments)
    with pytest.raises(UnknownRun):
        workbench.create("fixture", parent_id="nobody")
    assert workbench.runs().total == 0


def test_the_engines_own_check_is_told_at_its_field(workbench: Workbench) -> None:
    with pytest.raises(InvalidParams) as caught:
        workbench.create("fixture", {"photo": workbench.ingest(b"", "empty.png")})
    [error] = caught.value.errors
    assert (error.field, error.sentence) == (
        "photo",
        "photo must not be empty; got empty.png. Choose another file.",
    )


def test_uploads_reach_the_engine_under_their_own_name(workbench: Workbench, tmp_path: Path) -> None:
    source = tmp_path / "kätzchen.png"
    source.write_bytes(b"meow")
    value = workbench.ingest(source)
    assert value.startswith("sha256:")
    assert value.endswith("/kätzchen.png")
    run = workbench.submit("fixture", {"photo": value})
    assert run.status is Status.finished
    assert workbench.record(run.id).texts()["photo"] == "kätzchen.png 4"
    with pytest.raises(FileTrouble, match=r"There is no file 'nothing.png'\."):
        workbench.ingest(tmp_path / "nothing.png")


@pytest.mark.parametrize(
    ("name", "kept"),
    [("../../etc/passwd", "passwd"), (r"C:\cat.png", "cat.png"), ("..", "file"), ("", "file"), ("a\0b", "b")],
)
def test_names_of_uploads_are_made_harmless(workbench: Workbench, name: str, kept: str) -> None:
    assert workbench.ingest(b"x", name).partition("/")[2] == kept


def test_long_names_keep_their_ending(workbench: Workbench) -> None:
    value = workbench.ingest(b"x", "ä" * 300 + ".png")
    assert value.endswith(".png")
    assert workbench.submit("fixture", {"photo": value}).status is Status.finished


def test_scratch_and_inputs_are_gone_afterwards(workbench: Workbench, home: Path) -> None:
    for mode in ("plain", "fail"):
        workbench.submit("fixture", {"mode": mode, "photo": workbench.ingest(b"x", "x.png")})
    assert [path for path in (home / "scratch").iterdir() if path.is_dir()] == []


def test_environment_is_recorded(workbench: Workbench) -> None:
    run = workbench.submit("fixture")
    assert run.environment["device"] == "cpu"
    assert run.environment["versions"]["numpy"]
    assert run.worker.rpartition("/")[2].isdigit()


def test_same_seed_same_numbers(workbench: Workbench) -> None:
    one, other, third = (workbench.submit("fixture", seed=seed) for seed in (4, 4, 5))
    values = [workbench.record(run.id).points("Ours", "error").values.tolist() for run in (one, other, third)]
    assert values[0] == values[1] != values[2]


def test_fork_keeps_everything_but_the_changes(workbench: Workbench) -> None:
    parent = workbench.submit("fixture", {"rate": 0.25}, preset="smoke", seed=5)
    child = workbench.fork(parent.id, {"label": "child"})
    assert child.status is Status.queued
    assert child.parent_id == parent.id
    assert child.params == {**parent.params, "label": "child"}
    assert (child.seed, child.preset) == (5, "smoke")
    assert workbench.fork(parent.id, seed=6).seed == 6
    with pytest.raises(InvalidParams):
        workbench.fork(parent.id, {"rate": 9})


def test_run_inline_tells_each_event_and_ends(workbench: Workbench) -> None:
    seen: list[Event] = []
    run = workbench.run_inline(workbench.create("fixture", preset="smoke").id, on_event=seen.append)
    assert run.status is Status.finished
    assert seen[0] == Progress(0, 3, "starts")


def test_run_inline_follows_a_run_that_another_process_took(make_workbench: Make) -> None:
    workbench = make_workbench()
    run = workbench.create("fixture")
    assert workbench.store.claim_run(run.id, "elsewhere/1")

    def finish() -> None:
        time.sleep(0.3)
        workbench.store.finish_run(run.id, Status.finished)

    thread = threading.Thread(target=finish)
    thread.start()
    assert workbench.run_inline(run.id).status is Status.finished
    thread.join()


def test_following_passes_a_wish_to_stop_on(make_workbench: Make) -> None:
    workbench = make_workbench()
    run = workbench.create("fixture")
    assert workbench.follow(run.id, stop=lambda: CANCEL, poll_s=0.01).status is Status.cancelled


def test_cancel_of_a_queued_run(workbench: Workbench) -> None:
    run = workbench.create("fixture")
    workbench.cancel(run.id)
    run = workbench.run(run.id)
    assert (run.status, run.error) == (Status.cancelled, "Cancelled before it started.")
    assert workbench.run_inline(run.id).status is Status.cancelled, "nothing starts it any more"
    workbench.cancel(run.id)
    with pytest.raises(UnknownRun):
        workbench.cancel("nobody")


def test_delete(workbench: Workbench) -> None:
    finished = workbench.submit("fixture")
    workbench.delete(finished.id)
    with pytest.raises(UnknownRun):
        workbench.run(finished.id)
    queued = workbench.create("fixture")
    workbench.delete(queued.id)
    running = workbench.create("fixture")
    workbench.store.claim_run(running.id, "elsewhere/1")
    with pytest.raises(RunIsActive, match="is still running"):
        workbench.delete(running.id)
    assert workbench.runs().total == 1


def test_a_run_deleted_while_it_runs_ends_quietly(workbench: Workbench) -> None:
    created = workbench.create("fixture", {"steps": 100_000})

    def on_event(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 2:
            workbench.store.delete_run(created.id)

    with pytest.raises(UnknownRun):
        workbench.run_inline(created.id, on_event=on_event)


@pytest.mark.parametrize("tags", [("a,b",), ("",), ("x" * 65,), (3,)])
def test_tags_that_are_none_are_refused_before_there_is_a_run(workbench: Workbench, tags: Any) -> None:
    with pytest.raises(UsageError, match="A tag must have 1 to 64 characters and no comma"):
        workbench.create("fixture", tags=tags)
    assert workbench.runs().total == 0
    assert workbench.create("fixture", tags="one").tags == ("one",)


def test_tags_and_notes(workbench: Workbench) -> None:
    run = workbench.create("fixture")
    workbench.tag(run.id, ["b", "a"])
    workbench.note(run.id, "careful")
    run = workbench.run(run.id)
    assert (run.tags, run.note) == (("a", "b"), "careful")
    for word in ("", " ", "a,b", "x" * 65):
        with pytest.raises(UsageError, match="A tag must have"):
            workbench.tag(run.id, [word])


def test_find(workbench: Workbench) -> None:
    with pytest.raises(UnknownRun, match="There are no runs yet"):
        workbench.find("last")
    first, second = workbench.create("fixture"), workbench.create("fixture")
    assert workbench.find("last").id == second.id
    assert workbench.find(first.id).id == first.id
    assert workbench.find(first.id[-8:].upper()).id == first.id
    with pytest.raises(UnknownRun, match="no run whose id ends in"):
        workbench.find("zzzzzz")
    with pytest.raises(UnknownRun):
        workbench.find("x")


def test_runs_of_dead_workers_are_found(workbench: Workbench) -> None:
    run = workbench.create("fixture")
    workbench.store.claim_run(run.id, "another-host/1")
    assert workbench.mark_dead() == []
    workbench.store.mark_interrupted(-1)
    assert workbench.run(run.id).status is Status.interrupted


def test_an_engine_that_is_gone_fails_its_run(workbench: Workbench) -> None:
    run = workbench.store.create_run(engine="nobody", params={}, seed=0)
    ended = workbench.run_inline(run.id)
    assert ended.status is Status.failed
    assert "There is no engine 'nobody'" in ended.error


def test_params_that_are_no_longer_valid_fail_the_run(workbench: Workbench) -> None:
    run = workbench.store.create_run(engine="fixture", params={"steps": 0}, seed=0)
    ended = workbench.run_inline(run.id)
    assert (ended.status, ended.error_kind) == (Status.failed, "InvalidParams")


def test_query_goes_through(workbench: Workbench) -> None:
    workbench.submit("fixture", tags=("x",))
    workbench.submit("fixture", {"mode": "fail"})
    assert workbench.runs(RunQuery(statuses=(Status.failed,))).total == 1
    [row] = workbench.runs(RunQuery(tags=("x",))).rows
    assert row.headline == workbench.record(row.run.id).points("Ours", "error").values[-1]
    assert (row.claims_held, row.claims_failed, row.claims_open) == (1, 0, 1)


def test_keyboard_interrupt_before_the_engine_speaks(
    make_workbench: Make, fixture_catalog: Catalog, home: Path
) -> None:
    engine = fixture_catalog.engine("fixture")

    def run(params: Any, context: Context) -> Run:
        raise KeyboardInterrupt

    broken = Engine(**{**vars(engine), "run": run})
    catalog = Catalog.of([("fixture", broken, Origin("x", "x", "1"))])
    workbench = make_workbench(executor="inline")
    with Workbench.open(workbench.settings, catalog) as interrupted:
        created = interrupted.create("fixture")
        with pytest.raises(KeyboardInterrupt):
            interrupted.run_inline(created.id)
        assert interrupted.run(created.id).status is Status.cancelled

"""Making the server work before any limit is looked at: large files, large sweeps, questions, and what stalls others."""

from __future__ import annotations

import dataclasses
import importlib
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engines.contract import Params
from workbench import sweep_access, sweeps
from workbench.access import ASKED_AT_ONCE, EXPORTED_AT_ONCE, LOOKED_AT_ONCE, Demo
from workbench.catalog import Catalog, Origin
from workbench.errors import InvalidParams, UsageError
from workbench.inquiry import Told
from workbench.sweep_axes import Axis
from workbench.sweeps import Plan

Check = Callable[[Params, Mapping[str, Path]], None]


@pytest.fixture
def checked_by(access: Demo) -> Callable[[Check], None]:
    """Gives the demo's engine another look at what it is asked to run."""
    engine = access.workbench.catalog.engine("fixture")

    def use(check: Check) -> None:
        made = dataclasses.replace(engine, check=check)
        access.workbench.catalog = Catalog.of([("fixture", made, Origin("f", "f", "1"))])

    return use


def photo(access: Demo, data: bytes = b"a photo") -> dict[str, Any]:
    return {"photo": access.workbench.ingest(data, "a.png")}


def test_a_file_that_is_looked_at_for_long_holds_up_nobody_else(
    access: Demo, checked_by: Callable[[Check], None]
) -> None:
    """While the engine reads one guest's file, others start, and neither this guest nor a crowd has more files read."""
    begun, go_on = threading.Semaphore(0), threading.Event()

    def slow(params: Params, inputs: Mapping[str, Path]) -> None:
        if inputs:
            begun.release()
            assert go_on.wait(60)

    checked_by(slow)
    values = photo(access)
    with ThreadPoolExecutor(LOOKED_AT_ONCE) as pool:
        try:
            waiting = [
                pool.submit(access.submit, f"visitor-{place}", "fixture", values)
                for place in range(LOOKED_AT_ONCE)
            ]
            for _ in waiting:
                assert begun.acquire(timeout=60)
            assert access.submit("visitor-other", "fixture", {}).owner == "visitor-other"
            with pytest.raises(UsageError, match="A file of yours is being looked at"):
                access.submit("visitor-0", "fixture", values)
            with pytest.raises(UsageError, match="As many files are being looked at"):
                access.submit("visitor-late", "fixture", values)
        finally:
            go_on.set()
        assert {one.result(60).owner for one in waiting} == {"visitor-0", "visitor-1"}
    assert access.submit("visitor-late", "fixture", values).owner == "visitor-late"


def test_starts_that_an_engine_refuses_count(access: Demo) -> None:
    empty = photo(access, b"")
    for _ in range(access.limits.hourly):
        with pytest.raises(InvalidParams, match="photo must not be empty"):
            access.submit("visitor-a", "fixture", empty)
    with pytest.raises(UsageError, match="You have started 20 runs in the last hour"):
        access.submit("visitor-a", "fixture", empty)
    # What costs nothing to refuse is not held against anybody.
    for _ in range(access.limits.hourly + 1):
        with pytest.raises(InvalidParams, match="steps must be"):
            access.submit("visitor-b", "fixture", {"steps": 0})
    access.submit("visitor-b", "fixture", {})


def test_an_engine_looks_at_no_more_of_a_sweep_than_fits(
    access: Demo, checked_by: Callable[[Check], None]
) -> None:
    """A sweep without room, or beyond a limit, is refused before the engine sees it; a file in one of its cells alone."""
    looks: list[int] = []

    def count(params: Params, inputs: Mapping[str, Path]) -> None:
        looks.append(len(inputs))

    checked_by(count)
    values = photo(access)
    wide = Plan("fixture", (Axis("steps", tuple(range(1, 16))),), (0,), "smoke", values)
    with pytest.raises(UsageError, match="A sweep of 15 cells is more"):
        sweep_access.create(access, "visitor-a", wide)
    climbing = Plan("fixture", (Axis("label", ("fine", "/etc/passwd")),), (0,), "smoke", values)
    with pytest.raises(InvalidParams, match="label must not be a path"):
        sweep_access.create(access, "visitor-a", climbing)
    assert looks == []
    access.limits = dataclasses.replace(access.limits, runs=100, queue=100)
    made = sweep_access.create(access, "visitor-a", wide)
    assert (len(made.cells), looks) == (15, [1])
    several = Plan(
        "fixture",
        (Axis("photo", (values["photo"], photo(access, b"b")["photo"])), Axis("steps", (2, 3))),
        (0, 1),
        "smoke",
    )
    looks.clear()
    sweep_access.create(access, "visitor-b", several)
    assert looks == [1, 1]
    looks.clear()
    sweeps.create(access.workbench, several)
    assert looks == [1] * 4, "on one's own machine every cell is looked at, once"


def test_a_sweep_that_an_engine_refuses_counts(access: Demo) -> None:
    access.limits = dataclasses.replace(access.limits, hourly=2)
    plan = Plan("fixture", (Axis("steps", (2,)),), (0,), "smoke", photo(access, b""))
    for _ in range(2):
        with pytest.raises(InvalidParams, match="photo must not be empty"):
            sweep_access.create(access, "visitor-a", plan)
    with pytest.raises(UsageError, match="in the last hour"):
        sweep_access.create(access, "visitor-a", plan)


def test_one_guests_questions_stall_nobody(access: Demo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question holds a thread of the server while it is answered: one for each guest, few for all, no waiting."""
    begun, go_on = threading.Semaphore(0), threading.Event()
    told = Told(("who",), (("me",),))

    def slow(run_id: str, question: str) -> Told:
        begun.release()
        assert go_on.wait(60)
        return told

    monkeypatch.setattr(access.workbench, "inquire", slow)
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        try:
            asked = [
                pool.submit(access.inquire, f"visitor-{place}", "run", "who?")
                for place in range(ASKED_AT_ONCE)
            ]
            for _ in asked:
                assert begun.acquire(timeout=60)
            for _ in range(100):
                with pytest.raises(UsageError, match="Your question before is being answered"):
                    access.inquire("visitor-0", "run", "who?")
            with pytest.raises(UsageError, match="As many questions are being answered"):
                access.inquire("visitor-late", "run", "who?")
        finally:
            go_on.set()
        assert [one.result(60) for one in asked] == [told] * ASKED_AT_ONCE
    assert access.inquire("visitor-0", "run", "who?") == told, "what was refused is not counted"


def test_a_question_is_not_read_before_it_is_known_to_be_one(access: Demo) -> None:
    """Without the page's header not a byte of it is taken; with it a few thousand, however large it is."""
    import asyncio

    from starlette.requests import Request

    from ui.inquiry import MAX_BODY, take_question
    from ui.visitors import House

    taken = 0

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 1024
        return {"type": "http.request", "body": b"x" * 1024, "more_body": True}

    def ask(*headers: tuple[bytes, bytes]) -> int:
        request = Request({"type": "http", "method": "POST", "headers": list(headers)}, receive)
        return asyncio.run(take_question(request, House(access))).status_code

    assert (ask(), taken) == (403, 0)
    assert ask((b"x-workbench", b"1")) == 413
    assert taken <= MAX_BODY + 1024


def test_exports_of_guests_wait_for_one_another(
    access: Demo, visit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight reports at once are written two at a time, one a guest; who waits holds no thread, and not for ever."""
    routes = importlib.import_module("ui.library.routes")
    bench = access.workbench
    run_id = bench.run_inline(bench.create("fixture", preset="smoke").id).id
    at_once, most, lock = 0, 0, threading.Lock()
    write = routes._written

    def watched(*arguments: Any) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        write(*arguments)
        with lock:
            at_once -= 1

    monkeypatch.setattr(routes, "_written", watched)
    monkeypatch.setattr(routes, "TURN_S", 120.0)
    with ThreadPoolExecutor(8) as pool:
        told = list(
            pool.map(
                lambda one: one.get(f"/wb/export/{run_id}.html").status_code, [visit() for _ in range(8)]
            )
        )
    assert (told, most <= EXPORTED_AT_ONCE) == ([200] * 8, True)
    monkeypatch.setattr(routes, "TURN_S", 0.0)
    one = visit()
    with access.exporting("visitor-b"), access.exporting("visitor-c"):
        answer = one.get(f"/wb/export/{run_id}.json")
        assert (answer.status_code, "As many exports" in answer.text) == (422, True)
        with pytest.raises(UsageError, match="An export of yours"), access.exporting("visitor-b"):
            pass
    monkeypatch.setattr("workbench.access.EXPORTS", 3)
    told = [one.get(f"/wb/export/{run_id}.json").status_code for _ in range(4)]
    assert told == [200, 200, 200, 422]

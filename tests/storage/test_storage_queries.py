"""Lists of runs: conditions, order, pages, headline, thumbnail, claims, and a constant number of queries."""

from __future__ import annotations

import math

import pytest
from sqlalchemy import event, update

from storage import RunQuery, Status, StorageError
from storage.tables import RUN


@pytest.fixture
def library(store, make_run):
    """
    Five runs by name; each is a second younger than the one before.

    What is searched for cannot stand in a run's id by chance: it has a letter that ids lack (l, o, u) or many digits.
    """
    runs = {
        "a": make_run(
            store, engine="sven", preset="smoke", seed=3, tags=("slow", "paper"), note="First 100% try"
        ),
        "b": make_run(store, engine="gns", seed=1, owner="visitor", tags=("paper",)),
        "c": make_run(
            store,
            engine="sven",
            seed=2,
            params={"rank": 1700017, "model": "Quill_x"},
            headline=("Ours", "loss"),
        ),
        "d": make_run(store, engine="elr", seed=5, headline=("Ours", "loss")),
        "e": make_run(store, engine="sven", seed=4, headline=("Ours", "loss")),
    }
    for number, run in enumerate(runs.values()):
        moment = {"created_at": 1000.0 + number}
        store.database.write(
            lambda connection, run=run, moment=moment: connection.execute(
                update(RUN).where(RUN.c.id == run.id).values(**moment)
            )
        )
    ids = {name: run.id for name, run in runs.items()}
    with store.writer(ids["c"]) as writer:
        writer.scalar("Ours", "loss", 0, 0.5, 0)
        writer.picture("p", 0, b"old", 1, 1)
        writer.picture("p", 1, b"new", 1, 1)
        for key, holds in {"k1": True, "k2": True, "k3": False, "k4": None}.items():
            writer.claim(key, "s", None, None, None, holds)
    with store.writer(ids["d"]) as writer:
        writer.scalar("Ours", "loss", 0, math.nan, 0)
    store.database.write(
        lambda connection: connection.execute(
            update(RUN)
            .where(RUN.c.id == ids["d"])
            .values(status=Status.finished, started_at=10, finished_at=30)
        )
    )
    store.database.write(
        lambda connection: connection.execute(
            update(RUN)
            .where(RUN.c.id == ids["e"])
            .values(status=Status.failed, started_at=10, finished_at=15)
        )
    )
    return ids


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (RunQuery(), "edcba"),
        (RunQuery(descending=False), "abcde"),
        (RunQuery(engines=("sven",)), "eca"),
        (RunQuery(engines=("sven", "gns")), "ecba"),
        (RunQuery(statuses=(Status.finished, "failed")), "ed"),
        (RunQuery(tags=("paper",)), "ba"),
        (RunQuery(tags=("paper", "slow")), "a"),
        (RunQuery(owner="visitor"), "b"),
        (RunQuery(preset="smoke"), "a"),
        (RunQuery(seed=2), "c"),
        (RunQuery(parent_id="0" * 26), ""),
        (RunQuery(text="first TRY"), "a"),
        (RunQuery(text="100%"), "a"),
        (RunQuery(text="l_x"), "c"),
        (RunQuery(text="lux"), ""),
        (RunQuery(text="slo"), "a"),
        (RunQuery(text="sven 1700017"), "c"),
        (RunQuery(order="seed"), "deacb"),
        (RunQuery(order="engine", descending=False), "dbeca"),
        (RunQuery(order="status", descending=False), "edcba"),
        (RunQuery(order="duration"), "decba"),
        (RunQuery(order="duration", descending=False), "edcba"),
        (RunQuery(order="headline"), "cedba"),
        (RunQuery(limit=2), "ed"),
        (RunQuery(limit=2, offset=3), "ba"),
        (RunQuery(limit=2, offset=5), ""),
    ],
    ids=str,
)
def test_conditions_and_order(store, library, query, expected) -> None:
    names = {run_id: name for name, run_id in library.items()}
    page = store.runs(query)
    assert "".join(names[row.run.id] for row in page.rows) == expected
    assert page.total == (5 if query.limit == 2 else len(expected))


def test_a_row_tells_how_the_run_fared(store, library) -> None:
    rows = {row.run.id: row for row in store.runs().rows}
    c, d, e = (rows[library[name]] for name in "cde")
    assert c.headline == 0.5
    assert store.artifacts.read(c.thumbnail) == b"new"
    assert (c.claims_held, c.claims_failed, c.claims_open) == (2, 1, 1)
    assert math.isnan(d.headline)
    assert e.headline is e.thumbnail is None
    assert (e.claims_held, e.claims_failed, e.claims_open) == (0, 0, 0)
    assert rows[library["a"]].run.tags == ("paper", "slow")


def test_a_run_is_found_by_its_id(store, library) -> None:
    assert [row.run.id for row in store.runs(RunQuery(text=library["b"][:20].upper())).rows][
        -1
    ] in library.values()
    assert [row.run.id for row in store.runs(RunQuery(text=library["b"])).rows] == [library["b"]]


def test_nonsense_is_refused_in_one_sentence(store) -> None:
    with pytest.raises(StorageError, match=r"ordered by created_at, .*; got 'colour'"):
        store.runs(RunQuery(order="colour"))  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="'late' is not a status"):
        store.runs(RunQuery(statuses=("late",)))
    with pytest.raises(StorageError, match="64 bits"):
        store.runs(RunQuery(seed=2**70))


def test_the_number_of_queries_does_not_grow_with_the_page(store, make_run) -> None:
    statements: list[str] = []

    @event.listens_for(store.database.engine, "before_cursor_execute")
    def count(_connection, _cursor, statement, *_rest) -> None:
        statements.append(statement)

    counts = []
    for size in (1, 40):
        for _ in range(size):
            run = make_run(store, tags=("x", "y"), headline=("s", "n"))
            with store.writer(run.id) as writer:
                writer.scalar("s", "n", 0, 1, 0)
                writer.claim("k", "s", None, None, None, True)
                writer.picture("p", 0, b"png", 1, 1)
        statements.clear()
        assert len(store.runs(RunQuery(limit=100)).rows) >= size
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 4


def test_tags_are_listed_once(store, library) -> None:
    assert store.tags() == ["paper", "slow"]

"""Stores of their own for the tests of storage, and a run that recorded a bit of everything.

Every test that opens a store runs on SQLite and on PostgreSQL. A promise about SQLite alone is a test (or module)
with `backend` parametrised or overridden to "sqlite", which says why."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle_tampering import is_empty
from sqlalchemy import NullPool, create_engine, make_url

from storage import BundleRefused, Run, Status, Store, export_bundle, import_bundle

PNG = b"\x89PNG\r\n\x1a\n"


BACKENDS = ("sqlite", "postgres")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of database that a test runs on."""
    return str(request.param)


@pytest.fixture
def database_url(
    tmp_path: Path, backend: str, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], str]]:
    """The URL of the test's database of that name. In PostgreSQL each is a schema: made ten times as fast as a
    database."""
    made: dict[str, str] = {}
    server = "" if backend == "sqlite" else str(request.getfixturevalue("postgres_cluster").url)

    def url_of(name: str) -> str:
        if not server:
            return f"sqlite:///{tmp_path}/{name}/runs.db"
        if name not in made:
            made[name] = f"test_{secrets.token_hex(8)}"
            on_server(server, f"CREATE SCHEMA {made[name]}")
        place = make_url(server).update_query_dict({"options": f"-csearch_path={made[name]}"})
        return str(place.render_as_string(hide_password=False))

    yield url_of
    for schema in made.values():
        on_server(server, f"DROP SCHEMA {schema} CASCADE")


def on_server(server: str, statement: str) -> None:
    """Execute one statement on a PostgreSQL server outside of a transaction."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


@pytest.fixture
def open_store(tmp_path: Path, database_url: Callable[[str], str]) -> Iterator[Callable[..., Store]]:
    """Opens stores in the test's folder, by name; all are closed at the end."""
    opened: list[Store] = []

    def open_one(name: str = "store", **options: Any) -> Store:
        opened.append(Store.open(database_url(name), f"file://{tmp_path}/{name}/artifacts", **options))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[..., Store]) -> Store:
    """An empty store."""
    return open_store()


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """Creates runs with less to say; options are those of `create_run`."""

    def make(store: Store, **options: Any) -> Run:
        return store.create_run(**{"engine": "sven", "params": {"rank": 4}, "seed": 1, **options})

    return make


@pytest.fixture
def full_run(tmp_path: Path) -> Callable[[Store], Run]:
    """Records a finished run with something of every kind, non-finite numbers and many scripts included."""
    return recorder_of_everything(tmp_path)


def recorder_of_everything(folder: Path) -> Callable[[Store], Run]:
    """What `full_run` is, with its files in that folder."""

    def record(store: Store) -> Run:
        upload = store.artifacts.put(b"row,col,value\n", "text/csv", "ratings.csv")
        run = store.create_run(
            engine="matrix_completion",
            params={
                "source": f"sha256:{upload}/ratings.csv",
                "rank": 3,
                "tolerance": math.inf,
                "naïve": [None, True],
            },
            seed=2**62,
            preset="default",
            parent_id="0" * 26,
            tags=("b", "a tag"),
            note="ein schöner Lauf 🎈",
            environment={"torch": "2.13", "nan": math.nan},
            engine_version="1.2",
            headline=("Ours", "error"),
        )
        assert store.claim_run(run.id, "worker-1")
        result = folder / "result.csv"
        result.write_bytes(b"1,2\n")
        with store.writer(run.id) as writer:
            for step in range(2345):
                value = {7: math.nan, 8: math.inf, 9: -math.inf}.get(step, math.sin(step))
                writer.scalar("Ours", "error", step / 3, value, step * 0.01)
            writer.scalar("SoftImpute", "error", 0, math.nan, 0.0)
            writer.scalar("Ours", "время", -0.0, 5e-324, 0.1)
            for step in range(3):
                writer.picture("film", step, PNG + bytes([step]), 8, 6, f"frame {step}")
                writer.picture("now", step, PNG + b"now" + bytes([step]), 8, 6, keep=False)
            writer.array("spectrum", 1, np.array([1.0, math.nan, math.inf]), [("index", [0, 1, 2])])
            writer.array("names", 2, np.array([["a", "β"]]), [("x", [0.5]), ("y", ["p", "q"])], keep=False)
            writer.array("large", 3, np.arange(20_000, dtype=np.float32), [("i", np.arange(20_000))])
            writer.table("rivals", ["name", "error", "won"], [["ours", 0.25, True], ["als", math.nan, None]])
            writer.text("summary", "line one\nzweite Zeile 🎈")
            writer.alert("diverged", 7, "the error is not a number")
            writer.file("matrix", result, "text/csv", caption="completed")
            writer.file("log", b"hello", "text/plain", filename="log.txt")
            writer.claim("faster", "It is faster.", "2x", 3.5, math.inf, True, "measured once", "s")
            writer.claim("better", "It is better.", None, math.nan, None, False)
            writer.claim("cheaper", "It is cheaper.", None, None, None, None, "no baseline")
            writer.progress(10, 10, "done")
        store.finish_run(run.id, Status.finished)
        return store.run(run.id)

    return record


@pytest.fixture
def everything() -> Callable[[Store, str], dict[str, Any]]:
    """All that can be read of a run but its owner, in a form in which NaN equals NaN and -0.0 is not 0.0."""

    def read(store: Store, run_id: str) -> dict[str, Any]:
        record = store.record(run_id)
        points = {
            (info.series, info.name): [part.tobytes() for part in (found.steps, found.times, found.values)]
            for info in record.series()
            for found in [record.points(info.series, info.name)]
        }
        arrays = [(record.array(info).dtype.str, record.array(info).tobytes()) for info in record.arrays()]
        hashes = [picture.hash for picture in record.pictures()] + [file.hash for file in record.files()]
        parts = {
            "run": record.run.model_dump(exclude={"owner"}),
            "tags": record.run.tags,
            "series": record.series(),
            "pictures": record.pictures(),
            "arrays": record.arrays(),
            "tables": record.tables(),
            "texts": record.texts(),
            "alerts": record.alerts(),
            "files": record.files(),
            "claims": record.claims(),
        }
        readable: dict[str, Any] = {name: repr(part) for name, part in parts.items()}
        return readable | {
            "points": points,
            "numbers": arrays,
            "bytes": [store.artifacts.read(content_hash) for content_hash in hashes],
        }

    return read


@pytest.fixture(scope="session")
def sound_bundle(tmp_path_factory) -> bytes:
    """A sound bundle of one run with something of everything. The same from either database, as other tests show."""
    folder = tmp_path_factory.mktemp("sound")
    with Store.open(f"sqlite:///{folder}/runs.db", f"file://{folder}/artifacts") as here:
        export_bundle(here, [recorder_of_everything(folder)(here).id], folder / "sound.zip")
    return (folder / "sound.zip").read_bytes()


@pytest.fixture
def bundle(sound_bundle, tmp_path) -> Path:
    """A copy of `sound_bundle` to tamper with."""
    (tmp_path / "sound.zip").write_bytes(sound_bundle)
    return tmp_path / "sound.zip"


@pytest.fixture
def refuses(open_store, tmp_path) -> Callable[..., None]:
    """Imports a file into an empty store, and looks that it is refused with that sentence and nothing is left."""
    there = open_store("there")

    def check(path: Path, sentence: str, **options) -> None:
        with pytest.raises(BundleRefused, match=sentence) as caught:
            import_bundle(there, path, **options)
        assert str(caught.value).count("\n") == 0
        assert str(tmp_path) not in str(caught.value)
        assert is_empty(there)

    return check

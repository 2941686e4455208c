"""The tables: one model each, portable between SQLite and PostgreSQL. `docs/record.md` explains them to people."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    func,
    select,
)
from sqlalchemy.orm import column_property, registry
from sqlmodel import Field, SQLModel

from storage.columns import CountedKey, StoredFloat, StoredJson, StoredStatus, StoredText
from storage.status import Status

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Base(SQLModel, registry=registry(metadata=metadata)):
    """The root of our models: its own metadata, so that a plug-in's SQLModel tables never mix with ours."""


TAG_SEPARATOR = "\x1f"  # white space to str.split, so it never occurs within a tag
_TAG_LIST = "tag_list"


def _of_run() -> Any:
    """First part of a key: the run that a row belongs to, and goes with."""
    return Field(sa_type=StoredText, foreign_key="run.id", ondelete="CASCADE", primary_key=True)


def _of_artifact(**options: Any) -> Any:
    """The file of a row; the file stays as long as the row does."""
    return Field(sa_type=StoredText, foreign_key="artifact.hash", index=True, **options)


def _text(default: str = "", **options: Any) -> Any:
    return Field(default=default, sa_type=StoredText, **options)


def _moment(**options: Any) -> Any:
    """Unix seconds, or None where it has not happened."""
    return Field(default=None, sa_type=Double, **options)


class RunTag(Base, table=True):
    """One tag of one run."""

    __tablename__ = "run_tag"
    run_id: str = _of_run()
    tag: str = Field(sa_type=StoredText, primary_key=True, index=True)


class Run(Base, table=True):
    """One run: what was asked, where it stands, and where it ran. Times are Unix seconds."""

    __tablename__ = "run"
    id: str = Field(sa_type=StoredText, primary_key=True)
    engine: str = Field(sa_type=StoredText, index=True)
    engine_version: str = _text()
    status: Status = Field(sa_type=StoredStatus, index=True)
    params: dict[str, Any] = Field(sa_type=StoredJson)
    seed: int = Field(sa_type=BigInteger)
    preset: str = _text()
    created_at: float = Field(sa_type=Double, index=True)
    started_at: float | None = _moment()
    finished_at: float | None = _moment()
    heartbeat_at: float | None = _moment()
    environment: dict[str, Any] = Field(sa_type=StoredJson)
    owner: str = _text(index=True)
    parent_id: str | None = Field(default=None, sa_type=StoredText, index=True)
    note: str = _text()
    error: str = _text()
    error_kind: str = _text()
    worker: str = _text()
    headline_series: str = _text()
    headline_name: str = _text()
    progress_done: float = Field(default=0.0, sa_type=StoredFloat, nullable=True)
    progress_total: float = Field(default=0.0, sa_type=StoredFloat, nullable=True)
    progress_note: str = _text()
    version: int = Field(default=0, sa_type=BigInteger)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags in alphabetical order."""
        joined: str | None = self.__dict__.get(_TAG_LIST)
        return tuple(sorted(joined.split(TAG_SEPARATOR))) if joined else ()

    @property
    def duration_s(self) -> float | None:
        """Seconds from start to end (to the last heartbeat while it goes on); None before the start."""
        end = self.finished_at if self.finished_at is not None else self.heartbeat_at
        return None if self.started_at is None or end is None else max(0.0, end - self.started_at)


class ArtifactFile(Base, table=True):
    """A file known by its content. `held_until` keeps a fresh upload alive until a run refers to it."""

    __tablename__ = "artifact"
    hash: str = Field(sa_type=StoredText, primary_key=True)
    media_type: str = _text()
    size: int = Field(sa_type=BigInteger)
    name: str = _text()
    created_at: float = Field(sa_type=Double)
    held_until: float = Field(default=0.0, sa_type=Double)


class RunUpload(Base, table=True):
    """A file that a run's parameters name as `sha256:<hash>/<name>`."""

    __tablename__ = "run_upload"
    run_id: str = _of_run()
    hash: str = _of_artifact(primary_key=True)


class SeriesHead(Base, table=True):
    """One curve: its summary, so that nobody counts points to know where it stands.

    Minimum and maximum are over the finite values (NaN where there are none)."""

    __tablename__ = "series"
    __table_args__ = (UniqueConstraint("run_id", "series", "name"),)
    id: int | None = Field(default=None, sa_type=cast(Any, CountedKey), primary_key=True)
    run_id: str = Field(sa_type=StoredText, foreign_key="run.id", ondelete="CASCADE")
    series: str = Field(sa_type=StoredText)
    name: str = Field(sa_type=StoredText)
    position: int = Field(sa_type=BigInteger)
    count: int = Field(sa_type=BigInteger)
    last_step: float = Field(sa_type=StoredFloat, nullable=True)
    last_value: float = Field(sa_type=StoredFloat, nullable=True)
    minimum: float = Field(sa_type=StoredFloat, nullable=True)
    maximum: float = Field(sa_type=StoredFloat, nullable=True)
    nonfinite: int = Field(sa_type=BigInteger)
    version: int = Field(sa_type=BigInteger)


class SeriesChunk(Base, table=True):
    """Points of a curve as little-endian float64 blobs. Chunk n holds the points from n * CHUNK_POINTS on; all
    but the last are full and never change again."""

    __tablename__ = "series_chunk"
    series_id: int = Field(
        sa_type=cast(Any, CountedKey), foreign_key="series.id", ondelete="CASCADE", primary_key=True
    )
    number: int = Field(sa_type=Integer, primary_key=True)
    count: int = Field(sa_type=Integer)
    steps: bytes = Field(sa_type=LargeBinary)
    times: bytes = Field(sa_type=LargeBinary)
    values: bytes = Field(sa_type=LargeBinary)


class RunPicture(Base, table=True):
    """One picture; `position` is its place among all that the run recorded."""

    __tablename__ = "picture"
    run_id: str = _of_run()
    position: int = Field(sa_type=BigInteger, primary_key=True)
    name: str = Field(sa_type=StoredText)
    step: float = Field(sa_type=StoredFloat, nullable=True)
    caption: str = _text()
    keep: bool = Field(sa_type=Boolean)
    hash: str = _of_artifact()
    width: int = Field(sa_type=Integer)
    height: int = Field(sa_type=Integer)
    version: int = Field(sa_type=BigInteger)


class RunArray(Base, table=True):
    """One array on named axes: a compressed .npy in the row if small, else an artifact (`hash`)."""

    __tablename__ = "array"
    run_id: str = _of_run()
    position: int = Field(sa_type=BigInteger, primary_key=True)
    name: str = Field(sa_type=StoredText)
    step: float = Field(sa_type=StoredFloat, nullable=True)
    keep: bool = Field(sa_type=Boolean)
    shape: list[int] = Field(sa_type=StoredJson)
    axes: list[Any] = Field(sa_type=StoredJson)
    inline: bytes | None = Field(default=None, sa_type=LargeBinary)
    hash: str | None = _of_artifact(default=None)
    version: int = Field(sa_type=BigInteger)


class RunTable(Base, table=True):
    """A small table of results; a later one of the same name takes its place."""

    __tablename__ = "result_table"
    run_id: str = _of_run()
    name: str = Field(sa_type=StoredText, primary_key=True)
    position: int = Field(sa_type=BigInteger)
    columns: list[Any] = Field(sa_type=StoredJson)
    rows: list[Any] = Field(sa_type=StoredJson)
    version: int = Field(sa_type=BigInteger)


class RunText(Base, table=True):
    """A named text; a later one of the same name takes its place."""

    __tablename__ = "result_text"
    run_id: str = _of_run()
    name: str = Field(sa_type=StoredText, primary_key=True)
    position: int = Field(sa_type=BigInteger)
    value: str = Field(sa_type=StoredText)
    version: int = Field(sa_type=BigInteger)


class RunAlert(Base, table=True):
    """Something that the reader must know."""

    __tablename__ = "alert"
    run_id: str = _of_run()
    position: int = Field(sa_type=BigInteger, primary_key=True)
    name: str = Field(sa_type=StoredText)
    step: float = Field(sa_type=StoredFloat, nullable=True)
    message: str = Field(sa_type=StoredText)
    version: int = Field(sa_type=BigInteger)


class RunFile(Base, table=True):
    """A result to take away; a later one of the same name takes its place."""

    __tablename__ = "result_file"
    run_id: str = _of_run()
    name: str = Field(sa_type=StoredText, primary_key=True)
    position: int = Field(sa_type=BigInteger)
    hash: str = _of_artifact()
    media_type: str = _text()
    caption: str = _text()
    filename: str = _text()
    version: int = Field(sa_type=BigInteger)


class RunClaim(Base, table=True):
    """What became of one claim of the paper. `measured` and `baseline` are JSON: None and NaN differ here."""

    __tablename__ = "claim"
    run_id: str = _of_run()
    key: str = Field(sa_type=StoredText, primary_key=True)
    position: int = Field(sa_type=BigInteger)
    statement: str = _text()
    paper: str | None = Field(default=None, sa_type=StoredText)
    measured: float | None = Field(default=None, sa_type=StoredJson)
    baseline: float | None = Field(default=None, sa_type=StoredJson)
    holds: bool | None = Field(default=None, sa_type=Boolean)
    detail: str = _text()
    unit: str = _text()
    version: int = Field(sa_type=BigInteger)


class RunCommand(Base, table=True):
    """A letter to the recorder of a run; it is gone once taken."""

    __tablename__ = "command"
    id: int | None = Field(default=None, sa_type=cast(Any, CountedKey), primary_key=True)
    run_id: str = Field(sa_type=StoredText, foreign_key="run.id", ondelete="CASCADE", index=True)
    kind: str = Field(sa_type=StoredText)
    payload: dict[str, Any] = Field(sa_type=StoredJson)
    created_at: float = Field(sa_type=Double)


class Remembered(Base, table=True):
    """Something that was done once and must not be done again, whatever became of it since."""

    __tablename__ = "remembered"
    topic: str = Field(sa_type=StoredText, primary_key=True)
    item: str = Field(sa_type=StoredText, primary_key=True)


def table_of(model: type[Base]) -> Table:
    """The SQLAlchemy table of a model, for statements that need no objects."""
    return cast(Table, cast(Any, model).__table__)


RUN = table_of(Run)
TAG = table_of(RunTag)
ARTIFACT = table_of(ArtifactFile)
UPLOAD = table_of(RunUpload)
SERIES = table_of(SeriesHead)
CHUNK = table_of(SeriesChunk)
PICTURE = table_of(RunPicture)
ARRAY = table_of(RunArray)
TABLE = table_of(RunTable)
TEXT = table_of(RunText)
ALERT = table_of(RunAlert)
FILE = table_of(RunFile)
CLAIM = table_of(RunClaim)
COMMAND = table_of(RunCommand)
REMEMBERED = table_of(Remembered)

# The tags come with each run in the same query, joined into one text: no objects and no second round trip.
setattr(
    Run,
    _TAG_LIST,
    column_property(
        select(func.aggregate_strings(TAG.c.tag, TAG_SEPARATOR))
        .where(TAG.c.run_id == RUN.c.id)
        .correlate_except(TAG)
        .scalar_subquery()
    ),
)

"""Lists of runs: filtered, ordered and paged by the database, in a number of queries that does not grow."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, case, cast, func, or_, select
from sqlmodel import Session

from storage.errors import StorageError
from storage.status import Status
from storage.tables import CLAIM, PICTURE, RUN, SERIES, TAG, Run
from storage.values import RunPage, RunQuery, RunRow

_OVER = [status for status in Status if status.is_over]
_SEARCHED = (RUN.c.id, RUN.c.engine, RUN.c.preset, RUN.c.note, RUN.c.params)


def find_runs(connection: Connection, query: RunQuery) -> RunPage:
    """One page of the runs that fit `query`.

    Raises:
        StorageError: the order is unknown.
    """
    conditions = _conditions(query)
    total = connection.execute(select(func.count()).select_from(RUN).where(*conditions)).scalar_one()
    headline = and_(
        SERIES.c.run_id == RUN.c.id,
        SERIES.c.series == RUN.c.headline_series,
        SERIES.c.name == RUN.c.headline_name,
    )
    newest = (
        select(PICTURE.c.hash)
        .where(PICTURE.c.run_id == RUN.c.id)
        .order_by(PICTURE.c.position.desc())
        .limit(1)
    )
    page: Any = (
        select(Run, SERIES.c.id, SERIES.c.last_value, newest.scalar_subquery())
        .outerjoin(SERIES, headline)
        .where(*conditions)
        .order_by(*_order(query))
        .offset(query.offset)
        .limit(query.limit)
    )
    with Session(connection) as session:
        found = session.execute(page).all()
    claims = _claims(connection, [run.id for run, _, _, _ in found])
    rows = [
        RunRow(run, None if series_id is None else value, picture, *claims.get(run.id, (0, 0, 0)))
        for run, series_id, value, picture in found
    ]
    return RunPage(rows, total)


def all_tags(connection: Connection) -> list[str]:
    """Every tag in use, in alphabetical order."""
    return sorted(connection.execute(select(TAG.c.tag).distinct()).scalars())


def queued(connection: Connection) -> list[str]:
    """The ids of queued runs, oldest first."""
    query = select(RUN.c.id).where(RUN.c.status == Status.queued).order_by(RUN.c.created_at, RUN.c.id)
    return list(connection.execute(query).scalars())


def ended_before(connection: Connection, moment: float, *, not_of: str, limit: int) -> list[str]:
    """The ids of runs that ended before a moment (Unix seconds) and belong to anybody but this owner, oldest first."""
    query = (
        select(RUN.c.id)
        .where(RUN.c.owner != not_of, RUN.c.finished_at < moment, RUN.c.status.in_(_OVER))
        .order_by(RUN.c.finished_at, RUN.c.id)
        .limit(limit)
    )
    return list(connection.execute(query).scalars())


def last_values(connection: Connection, parent_id: str) -> list[tuple[str, str, str, float]]:
    """(run, series, name, last value) of every curve of the runs that name this parent and are its owner's."""
    columns = (SERIES.c.run_id, SERIES.c.series, SERIES.c.name, SERIES.c.last_value)
    owner = select(RUN.c.owner).where(RUN.c.id == parent_id).scalar_subquery()
    children = RUN.alias()
    query = (
        select(*columns)
        .join(children, SERIES.c.run_id == children.c.id)
        .where(children.c.parent_id == parent_id, children.c.owner == owner)
    )
    rows = connection.execute(query.order_by(SERIES.c.run_id, SERIES.c.position))
    return [(run_id, series, name, value) for run_id, series, name, value in rows]


def find_params(connection: Connection, query: RunQuery) -> list[tuple[str, dict[str, Any]]]:
    """The ids and parameters of all runs that fit `query`, in its order; its offset and limit do not count."""
    order = (RUN.c.created_at.desc(), RUN.c.id.desc()) if query.descending else (RUN.c.created_at, RUN.c.id)
    rows = connection.execute(select(RUN.c.id, RUN.c.params).where(*_conditions(query)).order_by(*order))
    return [(run_id, params) for run_id, params in rows]


def child_statuses(connection: Connection, parent_ids: list[str]) -> dict[str, dict[Status, int]]:
    """How many runs of each status name these parents and belong to the parent's owner; parents without any are missing."""
    children, parents = RUN.alias(), RUN.alias()
    query = (
        select(children.c.parent_id, children.c.status, func.count())
        .join(parents, and_(children.c.parent_id == parents.c.id, children.c.owner == parents.c.owner))
        .where(children.c.parent_id.in_(parent_ids))
        .group_by(children.c.parent_id, children.c.status)
    )
    found: dict[str, dict[Status, int]] = {}
    for parent, status, count in connection.execute(query):
        found.setdefault(parent, {})[Status(status)] = count
    return found


def _conditions(query: RunQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.ids:
        conditions.append(RUN.c.id.in_(query.ids))
    if query.engines:
        conditions.append(RUN.c.engine.in_(query.engines))
    if query.statuses:
        conditions.append(RUN.c.status.in_([Status.named(status) for status in query.statuses]))
    if query.owner is not None:
        own = RUN.c.owner == query.owner
        if query.shared is not None:
            owner, tag = query.shared
            own = or_(own, and_(RUN.c.owner == owner, _tagged(TAG.c.tag == tag)))
        conditions.append(own)
    for name in ("parent_id", "preset", "seed"):
        if (value := getattr(query, name)) is not None:
            conditions.append(RUN.c[name] == value)
    for tag in query.tags:
        conditions.append(_tagged(TAG.c.tag == tag))
    for word in query.text.split():
        spots: list[ColumnElement[bool]] = [_contains(column, word) for column in _SEARCHED]
        conditions.append(or_(*spots, _tagged(_contains(TAG.c.tag, word))))
    return conditions


def _tagged(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(TAG.c.tag).where(TAG.c.run_id == RUN.c.id, condition).exists()


def _contains(column: ColumnElement[Any], word: str) -> ColumnElement[bool]:
    """Whether the text of a column holds a word, whatever its case; % and _ stand for themselves."""
    return func.lower(cast(column, Text)).contains(word.lower(), autoescape=True)


def _order(query: RunQuery) -> list[ColumnElement[Any]]:
    keys: dict[str, ColumnElement[Any]] = {
        "created_at": RUN.c.created_at,
        "engine": RUN.c.engine,
        "status": RUN.c.status,
        "duration": func.coalesce(RUN.c.finished_at, RUN.c.heartbeat_at, time.time()) - RUN.c.started_at,
        "headline": SERIES.c.last_value,
        "seed": RUN.c.seed,
    }
    if query.order not in keys:
        raise StorageError(f"Runs can be ordered by {', '.join(keys)}; got {query.order!r}.")
    key = keys[query.order]
    # Runs without the number come last either way; equal ones come newest first.
    return [
        (key.desc() if query.descending else key.asc()).nulls_last(),
        RUN.c.created_at.desc(),
        RUN.c.id.desc(),
    ]


def _claims(connection: Connection, run_ids: list[str]) -> dict[str, tuple[int, int, int]]:
    """How many claims of each run hold, fail, and are open."""
    if not run_ids:
        return {}
    held, failed = func.sum(_one_if(CLAIM.c.holds.is_(True))), func.sum(_one_if(CLAIM.c.holds.is_(False)))
    query = (
        select(CLAIM.c.run_id, held, failed, func.sum(_one_if(CLAIM.c.holds.is_(None))))
        .where(CLAIM.c.run_id.in_(run_ids))
        .group_by(CLAIM.c.run_id)
    )
    return {run_id: (int(yes), int(no), int(open_)) for run_id, yes, no, open_ in connection.execute(query)}


def _one_if(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)

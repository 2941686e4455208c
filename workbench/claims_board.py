"""The claims board: what became of every paper's claims, as the store knows it.

A paper's standing is read from finished runs with exactly the parameters of `workbench reproduce` as they are today:
those that share the newest one's version and revision, the newest of each seed. Where there are none, runs of the
unchanged default preset stand in, and the board says so. A tag alone counts for nothing: anybody can give one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from engines.contract import Engine
from storage import Run, RunQuery, Status
from workbench.access import OWNER
from workbench.claims import ClaimSummary, claim_object, summarize
from workbench.documents import Document, plain
from workbench.errors import storage_seam
from workbench.runs import Workbench
from workbench.values import params_of

Source = Literal["reproduce", "default", ""]
BATCH = 500


@dataclass(frozen=True)
class Standing:
    """A paper's claims over the runs that count, newest first; no runs: it was never run here."""

    engine: Engine
    source: Source
    runs: tuple[Run, ...]
    claims: tuple[ClaimSummary, ...]

    @property
    def when(self) -> float | None:
        """The end of the newest run, in Unix seconds."""
        return max((run.finished_at or run.created_at for run in self.runs), default=None)

    @property
    def machines(self) -> tuple[str, ...]:
        """Where the runs ran, in words, each machine once."""
        return tuple(dict.fromkeys(machine(run) for run in self.runs))


def board(workbench: Workbench, keys: Sequence[str] = (), *, only_tag: str = "") -> list[Standing]:
    """The standing of these engines (none: all), in the catalogue's order. Raises UnknownEngine.

    Only runs of the workbench's owner count, and with `only_tag` of those only the ones with this tag: guests of a demo
    are told the ids of published runs and of no others. A few queries an engine."""
    wanted = [workbench.catalog.engine(key) for key in keys or workbench.catalog.engines]
    return [_standing(workbench, engine, (only_tag,) if only_tag else ()) for engine in wanted]


def _standing(workbench: Workbench, engine: Engine, tags: Sequence[str]) -> Standing:
    query = RunQuery(engines=(engine.key,), statuses=(Status.finished,), owner=OWNER, tags=tags)
    with storage_seam():
        # Of all runs, however many a sweep put before them.
        found = workbench.store.params(query)
    source: Source = "reproduce"
    counting = _made_with(workbench, engine, engine.reproduce, found)
    if not counting:
        counting = _made_with(workbench, engine, {}, found)
        source = "default" if counting else ""
    rows = [workbench.record(run.id).claims() for run in counting]
    return Standing(engine, source, tuple(counting), tuple(summarize(engine, rows)))


def _made_with(
    workbench: Workbench, engine: Engine, values: Mapping[str, Any], found: Sequence[tuple[str, Any]]
) -> list[Run]:
    """Those of the runs with these values over the default preset, alike among themselves, one a seed."""
    wanted = params_of(engine, values, "default").model_dump(mode="json")
    ids = [run_id for run_id, params in found if params == wanted]
    runs: list[Run] = []
    for place in range(0, len(ids), BATCH):
        some = tuple(ids[place : place + BATCH])
        runs += [row.run for row in workbench.runs(RunQuery(ids=some, limit=len(some))).rows]
    return _alike(runs)


def _alike(runs: Sequence[Run]) -> list[Run]:
    """Of runs, newest first, those made as the newest one was, the newest of each seed."""
    if not runs:
        return []
    made = _making(runs[0])
    by_seed: dict[int, Run] = {}
    for run in runs:
        if _making(run) == made:
            by_seed.setdefault(run.seed, run)
    return [by_seed[seed] for seed in sorted(by_seed)]


def _making(run: Run) -> tuple[object, ...]:
    return run.params, run.engine_version, (run.environment or {}).get("git", "")


def machine(run: Run) -> str:
    """Where a run ran: processor and cores, and the accelerator where one was used."""
    known = run.environment or {}
    parts = [str(known.get("cpu") or "unknown processor")]
    if known.get("cores"):
        parts.append(f"{known['cores']} core{'s' if known['cores'] != 1 else ''}")
    if known.get("device_name"):
        parts.append(str(known["device_name"]))
    return ", ".join(parts)


def board_document(standings: Sequence[Standing], *, for_strangers: bool = False) -> Document:
    """The JSON of `workbench claims --json`. `for_strangers` leaves out where the runs ran."""
    return {
        "papers": [
            {
                "engine": standing.engine.key,
                "title": standing.engine.paper.title,
                "source": standing.source or None,
                "when": plain(standing.when),
                "machines": [] if for_strangers else list(standing.machines),
                "runs": [{"id": run.id, "seed": run.seed} for run in standing.runs],
                "claims": [claim_object(summary) for summary in standing.claims],
            }
            for standing in standings
        ]
    }


def tally(standings: Sequence[Standing]) -> tuple[int, int, int, int]:
    """How many claims hold, hold in some runs or fail, were not decided, and were not run."""
    holds = fails = open_ = never = 0
    for standing in standings:
        for summary in standing.claims:
            if not standing.runs:
                never += 1
            elif summary.decided == 0:
                open_ += 1
            elif summary.held == summary.decided:
                holds += 1
            else:
                fails += 1
    return holds, fails, open_, never

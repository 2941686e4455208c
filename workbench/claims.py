"""`reproduce`: run each engine's embedded experiment over several seeds and see which claims of the paper hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from engines.contract import Claim, Engine
from storage import ClaimRow, Run, Status
from workbench.documents import Document, plain, run_object
from workbench.recorder import OnEvent, StopWish
from workbench.runs import Workbench

TAG = "reproduce"


@dataclass(frozen=True)
class ClaimSummary:
    """One claim over all seeds. `mean` and `spread` (sample standard deviation; None for one number) are over the
    finite measurements; `held` of `decided` runs; `details` say why runs could not decide."""

    engine: str
    claim: Claim
    mean: float | None
    spread: float | None
    baseline: float | None
    held: int
    decided: int
    runs: int
    details: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """In words: "holds", "does not hold", "holds in 2 of 3", "not decided", "not run"."""
        if self.runs == 0:
            return "not run"
        if self.decided == 0:
            return "not decided"
        if self.held == self.decided:
            return "holds"
        return f"holds in {self.held} of {self.decided}" if self.held else "does not hold"


@dataclass
class Reproduction:
    """What `reproduce` did: the runs of each engine and the claims."""

    runs: list[Run] = field(default_factory=list)
    claims: list[ClaimSummary] = field(default_factory=list)

    @property
    def failed(self) -> list[Run]:
        """Runs that did not finish."""
        return [run for run in self.runs if run.status is not Status.finished]


def reproduce(
    workbench: Workbench,
    keys: Sequence[str],
    seeds: int,
    *,
    on_run: Callable[[Run], OnEvent | None] | None = None,
    stop: StopWish | None = None,
) -> Reproduction:
    """Run the default preset, with the engine's values for `reproduce` over it, for the seeds 0 to `seeds` - 1 of
    each engine, one after the other in this process. `on_run` is told of each run before it starts and may
    answer a listener for its events. Ends early when `stop` wishes so.

    Cost: the sum of all runs. Raises UnknownEngine before anything runs."""
    engines = [workbench.catalog.engine(key) for key in keys]
    result = Reproduction()
    for engine in engines:
        rows: list[list[ClaimRow]] = []
        for seed in range(seeds):
            if stop is not None and stop() is not None:
                break
            run = workbench.create(engine.key, engine.reproduce, preset="default", seed=seed, tags=(TAG,))
            listener = on_run(run) if on_run is not None else None
            run = workbench.run_inline(run.id, on_event=listener, stop=stop)
            result.runs.append(run)
            if run.status is Status.finished:
                rows.append(workbench.record(run.id).claims())
        result.claims += summarize(engine, rows)
    return result


def summarize(engine: Engine, runs: Sequence[Sequence[ClaimRow]]) -> list[ClaimSummary]:
    """The declared claims of an engine over the verdicts of several runs."""
    summaries = []
    for claim in engine.claims:
        rows = [row for run in runs for row in run if row.key == claim.key]
        measured = _finite(row.measured for row in rows)
        baselines = _finite(row.baseline for row in rows)
        verdicts = [row.holds for row in rows if row.holds is not None]
        details = dict.fromkeys(row.detail for row in rows if row.holds is None and row.detail)
        summaries.append(
            ClaimSummary(
                engine=engine.key,
                claim=claim,
                mean=float(np.mean(measured)) if measured else None,
                spread=float(np.std(measured, ddof=1)) if len(measured) > 1 else None,
                baseline=float(np.mean(baselines)) if baselines else None,
                held=sum(verdicts),
                decided=len(verdicts),
                runs=len(runs),
                details=tuple(details),
            )
        )
    return summaries


def reproduction_document(result: Reproduction) -> Document:
    """The JSON of `workbench reproduce --json`."""
    return {
        "runs": [run_object(run) for run in result.runs],
        "claims": [claim_object(summary) for summary in result.claims],
    }


def claim_object(summary: ClaimSummary) -> Document:
    """One claim over all seeds as plain JSON."""
    return {
        "engine": summary.engine,
        "key": summary.claim.key,
        "statement": summary.claim.statement,
        "measured": plain(summary.mean),
        "spread": plain(summary.spread),
        "baseline": plain(summary.baseline),
        "unit": summary.claim.unit,
        "paper": summary.claim.paper,
        "held": summary.held,
        "decided": summary.decided,
        "runs": summary.runs,
        "verdict": summary.verdict,
        "details": list(summary.details),
    }


def _finite(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]

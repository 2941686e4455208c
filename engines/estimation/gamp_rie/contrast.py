"""The noisy contrast: the same contenders on the same teachers and inputs, without and with hidden noise."""

from __future__ import annotations

from collections.abc import Iterator

from engines.contract import Context
from engines.estimation.gamp_rie.ledger import Ledger, Small, mean
from engines.estimation.gamp_rie.params import Settings
from engines.estimation.gamp_rie.sweep import LIMIT, one_descent, small_theory
from engines.estimation.gamp_rie.work import Work
from engines.events import Cell, Event, Table


def contrast(settings: Settings, context: Context, ledger: Ledger, work: Work) -> Iterator[Event]:
    """Runs the noiseless and the noisy side at `contrast_alpha` and ends with their table."""
    alpha = settings.contrast_alpha
    for delta in (0.0, settings.contrast_delta):
        ledger.contrast_theory[delta] = small_theory(settings, alpha, delta)
        if delta == 0.0 and alpha in ledger.rows:
            ledger.contrast[delta] = ledger.rows[alpha].small  # the sweep has been there
            continue
        small = ledger.contrast[delta] = Small()
        for repetition in range(settings.baseline_seeds):
            yield from one_descent(settings, context, alpha, delta, repetition, small, work, False, [])
        yield _table(settings, ledger)


def _table(settings: Settings, ledger: Ledger) -> Table:
    sides = [ledger.contrast.get(delta, Small()) for delta in (0.0, settings.contrast_delta)]
    theory = [ledger.contrast_theory.get(delta, float("nan")) for delta in (0.0, settings.contrast_delta)]
    rows: list[tuple[Cell, ...]] = [
        ("Theory", *theory),
        ("GAMP-RIE", *(mean(side.gamp) for side in sides)),
        ("GD", *(side.gd for side in sides)),
        ("AGD", *(mean(side.average) for side in sides)),
        (LIMIT, *(mean(side.limit) for side in sides)),
        ("Spread of students", *(side.spread for side in sides)),
    ]
    shown = [tuple(None if cell != cell else cell for cell in row) for row in rows]
    columns = ("contender", "no noise", f"Delta = {settings.contrast_delta:g}")
    return Table("contrast with noise", columns, shown)

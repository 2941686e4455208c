"""The status line: one state word, how far, how long, how fast, where; and what can be done with the run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from html import escape
from types import MappingProxyType
from typing import Any

from storage import Run, Status
from ui.live_words import duration, number, ordinal

WORDS = {
    Status.queued: "Queued",
    Status.running: "Running",
    Status.finished: "Finished",
    Status.failed: "Failed",
    Status.cancelled: "Stopped",
    Status.interrupted: "Interrupted",
}


def status_line(
    run: Run,
    *,
    position: int | None = None,
    other: str = "",
    asks: Mapping[str, str] = MappingProxyType({}),
    now: float | None = None,
) -> dict[str, Any]:
    """The status of a run as the page's script takes it: state, word, fraction (None: not known), facts as
    HTML, actions as HTML. `position` is its place in the queue from 1; `other` a run to compare with; `asks` what a
    running run can be asked, by name."""
    now = time.time() if now is None else now
    state = Status(run.status)
    fraction = _fraction(run)
    if state is Status.queued:
        facts = [f"{ordinal(position)} in the queue" if position else "waiting for a worker"]
    elif state is Status.running:
        facts = _running(run, fraction, now)
    else:
        facts = _over(run)
    return {
        "state": str(state),
        "word": WORDS[state],
        "fraction": 0.0 if state is Status.queued else fraction,
        "facts": facts,
        "actions": actions(run.id, other)
        if state.is_over
        else questions(asks)
        if state is Status.running
        else "",
    }


def _fraction(run: Run) -> float | None:
    total = run.progress_total or 0
    if total <= 0:
        return None
    return min(1.0, max(0.0, (run.progress_done or 0) / total))


def _running(run: Run, fraction: float | None, now: float) -> list[str]:
    elapsed = max(0.0, now - (run.started_at or now))
    facts = []
    if run.progress_note:
        facts.append(escape(run.progress_note))
    if fraction is not None:
        facts.append(f"<b>{number(run.progress_done)}</b> of <b>{number(run.progress_total)}</b>")
        if fraction > 0 and elapsed > 1:
            facts.append(f"<b>{duration(elapsed * (1 - fraction) / fraction)}</b> left")
            facts.append(f"<b>{_rate((run.progress_done or 0) / elapsed)}</b> steps/s")
    facts += _device(run)
    facts.append(f"<b>{duration(elapsed)}</b> elapsed")
    return facts


def _rate(per_second: float) -> str:
    return f"{per_second:.0f}" if per_second >= 100 else f"{per_second:.2g}"


def _over(run: Run) -> list[str]:
    facts = []
    if run.duration_s is not None:
        facts.append(f"<b>{duration(run.duration_s)}</b>")
    facts += _device(run)
    facts.append(f"seed <b>{run.seed}</b>")
    if run.preset:
        facts.append(f"preset {escape(run.preset)}")
    return facts


def _device(run: Run) -> list[str]:
    environment = run.environment or {}
    name = environment.get("device_name") or environment.get("device")
    return [escape(str(name))] if name else []


def questions(asks: Mapping[str, str]) -> str:
    """Quiet buttons of a running run: what its engine can be asked."""
    return "".join(
        f'<button type="button" class="wb-quiet" data-do="ask" data-what="{escape(name)}">{escape(words)}</button>'
        for name, words in asks.items()
    )


def actions(run_id: str, other: str = "") -> str:
    """Quiet buttons of a run that is over: its settings back into the form, a fork, the bundle, a report, a comparison."""
    compared = f"{run_id},{other}" if other else run_id
    return (
        '<button type="button" class="wb-quiet" data-do="reopen" title="Fill the form with this run\'s settings">Reopen</button>'
        '<button type="button" class="wb-quiet" data-do="fork" title="Same settings, to change one; the new run remembers this one">Fork</button>'
        f'<a class="wb-quiet" href="wb/export/{escape(run_id)}.zip" download title="Take the whole record away as one file">Export</a>'
        f'<a class="wb-quiet" href="wb/export/{escape(run_id)}.html" download title="One page to read and send: figures, claims, settings">Report</a>'
        f'<a class="wb-quiet" data-wb href="?compare={escape(compared)}" title="Beside another run in the Library">Compare</a>'
    )


def ending(run: Run) -> tuple[str, str]:
    """What the page says of a run that did not finish: HTML and tone; empty for the others."""
    state = Status(run.status)
    kept = "Everything recorded until then is below."
    if state is Status.failed:
        return f"<p>{escape(run.error or 'The run failed.')} {kept}</p>", "bad"
    if state is Status.interrupted:
        return (
            f"<p>{escape(run.error or 'The worker of this run died.')} {kept} Run it again to have it whole.</p>",
            "bad",
        )
    if state is Status.cancelled:
        return f"<p>Stopped on request. {kept}</p>", ""
    return "", ""

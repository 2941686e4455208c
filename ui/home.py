"""Home: what this is in one sentence, and a card for each paper of the catalogue."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape

from engines.contract import FAMILIES, Engine
from storage import RunQuery, RunRow, Status
from ui.live_words import number
from workbench.runs import Workbench

SPARK_POINTS = 60
MAX_SPARKS = 5
COLOURS = (
    "var(--wb-accent)",
    "var(--wb-orange)",
    "var(--wb-green)",
    "var(--wb-vermilion)",
    "var(--wb-purple)",
)


@dataclass(frozen=True)
class Latest:
    """The last finished run of an engine, as its card shows it."""

    row: RunRow
    curves: tuple[tuple[str, tuple[float, ...]], ...] = ()
    """Contender and values of the headline quantity, for runs without a picture."""


def latest(
    workbench: Workbench, listed: Callable[[RunQuery], RunQuery] = lambda query: query
) -> dict[str, Latest]:
    """The last finished run of each engine that has one, of those that the reader's lists may show."""
    found = {}
    for engine in workbench.catalog.engines.values():
        query = RunQuery(engines=(engine.key,), statuses=(Status.finished,), limit=1)
        rows = workbench.runs(listed(query)).rows
        if rows:
            curves = () if rows[0].thumbnail else _curves(workbench, engine, rows[0].run.id)
            found[engine.key] = Latest(rows[0], curves)
    return found


def _curves(workbench: Workbench, engine: Engine, run_id: str) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """The headline quantity of up to five contenders, the paper's method first."""
    record = workbench.record(run_id)
    series, name = engine.headline
    names = [info.series for info in record.series() if info.name == name and info.count > 1]
    names.sort(key=lambda other: other != series)
    return tuple(
        (other, tuple(float(value) for value in record.decimated(other, name, SPARK_POINTS // 2).values))
        for other in names[:MAX_SPARKS]
    )


def markup(
    workbench: Workbench, runs: Mapping[str, Latest] | None = None, *, for_guests: bool = False
) -> str:
    """The whole Home page. Guests of a demo are not told what is broken in its installation."""
    families = workbench.catalog.by_family()
    runs = runs or {}
    sections = "".join(
        f'<section class="wb-family"><h2>{escape(FAMILIES[family])}</h2><div class="wb-cards">'
        f"{''.join(card(engine, runs.get(engine.key)) for engine in engines)}</div></section>"
        for family, engines in families.items()
    )
    count = len(workbench.catalog.engines)
    faults = () if for_guests else workbench.catalog.broken.values()
    broken = "".join(f"<p>{escape(sentence)}</p>" for sentence in faults)
    note = f'<div class="wb-broken">{broken}</div>' if broken else ""
    return f'<div class="wb-home" data-place="">{_hello(count)}{sections}{note}</div>'


def _hello(count: int) -> str:
    if not count:
        return (
            '<header class="wb-hello"><h1>Papers that run</h1><p>No engine could be loaded. Run <code>workbench doctor</code> '
            "in a terminal to see why.</p></header>"
        )
    papers = "One machine-learning paper" if count == 1 else f"{count} machine-learning papers"
    return (
        '<header class="wb-hello"><h1>Papers that run</h1>'
        f"<p>{papers} you can watch working: each method beside its baselines, live, on this machine.</p>"
        "<p>Open a paper and press Run. The defaults need no GPU and no download, and every run is kept in the Library. "
        'What became of the papers\' claims stands on the <a data-wb href="?view=claims">claims board</a>.</p></header>'
    )


def card(engine: Engine, last: Latest | None) -> str:
    """A paper: what its last run looked like, its name, the idea, who wrote it, where to read it, its claims."""
    paper = engine.paper
    links = "".join(
        f'<a class="wb-ref" href="{escape(address)}" target="_blank" rel="noreferrer">{word}</a>'
        for word, address in references(engine)
    )
    return (
        f'<article class="wb-card"><div class="wb-card-view">{_view(engine, last)}</div>'
        f'<h3><a data-wb href="?engine={escape(engine.key)}">{escape(paper.short)}</a></h3>'
        f'<p class="wb-card-text">{escape(paper.summary)}<span class="wb-by">{escape(authors(engine))}, {paper.year}'
        "</span></p>"
        f'<div class="wb-card-foot">{links}<span class="wb-tally">{_tally(engine, last)}</span></div></article>'
    )


def authors(engine: Engine) -> str:
    """Up to three names in full, otherwise the first and "and others"."""
    names = engine.paper.authors
    if len(names) > 3:
        return f"{names[0]} and others"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""


def references(engine: Engine) -> list[tuple[str, str]]:
    """Name and address of where the paper and its code are; only http(s) addresses become links."""
    paper = engine.paper
    found = []
    if paper.arxiv:
        found.append(("arXiv", f"https://arxiv.org/abs/{paper.arxiv}"))
    if paper.code.startswith(("https://", "http://")):
        found.append(("Code", paper.code))
    return found


def _view(engine: Engine, last: Latest | None) -> str:
    if last is None:
        return '<span class="wb-none">No run yet</span>'
    if last.row.thumbnail:
        return f'<img loading="lazy" src="wb/artifact/{escape(last.row.thumbnail)}" alt="Newest picture of the last run of {escape(engine.paper.short)}">'
    return sparks(last.curves, engine) or '<span class="wb-none">Last run recorded</span>'


def sparks(curves: tuple[tuple[str, tuple[float, ...]], ...], engine: Engine) -> str:
    """Small curves of the headline quantity, drawn with one scale; logarithmic where it spans two decades."""
    values = [value for _, curve in curves for value in curve if math.isfinite(value)]
    if not values:
        return ""
    log = min(values) > 0 and max(values) > 100 * min(values)
    scale = [math.log10(value) if log else value for value in values]
    low, high = min(scale), max(scale)
    lines = []
    for place, (name, curve) in enumerate(curves):
        points = _points(curve, log, low, high)
        width = 2.5 if name == engine.headline[0] else 1.5
        lines.append(
            f'<polyline class="wb-spark" points="{points}" stroke="{COLOURS[place % len(COLOURS)]}" stroke-width="{width}" vector-effect="non-scaling-stroke"/>'
        )
    what = escape(f"{engine.headline_label or engine.headline[1]} in the last run")
    return f'<svg viewBox="0 0 300 100" preserveAspectRatio="none" role="img" aria-label="{what}">{"".join(reversed(lines))}</svg>'


def _points(curve: tuple[float, ...], log: bool, low: float, high: float) -> str:
    span = (high - low) or 1.0
    found = []
    for at, value in enumerate(curve):
        if not math.isfinite(value):
            continue
        level = ((math.log10(value) if log else value) - low) / span
        found.append(f"{12 + 276 * at / max(1, len(curve) - 1):.1f},{88 - 76 * level:.1f}")
    return " ".join(found)


def _tally(engine: Engine, last: Latest | None) -> str:
    """How the claims fared in the last run: tick, cross and dash with their words."""
    count = len(engine.claims)
    if last is None:
        return f"{count} claim{'' if count == 1 else 's'} to check" if count else ""
    row = last.row
    parts = []
    if row.claims_held:
        parts.append(
            f'<span class="wb-verdict" data-holds="yes">✓ {row.claims_held} hold{"s" if row.claims_held == 1 else ""}</span>'
        )
    if row.claims_failed:
        parts.append(f'<span class="wb-verdict" data-holds="no">✕ {row.claims_failed} not</span>')
    if row.claims_open:
        parts.append(f'<span class="wb-verdict" data-holds="open">– {row.claims_open} open</span>')
    if not parts and row.headline is not None:
        parts.append(f"{escape(engine.headline_label or engine.headline[1])} {number(row.headline)}")
    return " ".join(parts)


def about(engine: Engine) -> str:
    """The engine's about.md without its first heading, which the page has above."""
    text = engine.about.read_text("utf-8")
    return re.sub(r"\A\s*# [^\n]*\n", "", text)

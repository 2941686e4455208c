"""`doctor`: what this installation has and what ails it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import text

from storage import RunQuery, Status
from storage.tables import ARTIFACT
from workbench import environment
from workbench.runs import Workbench

LOW_DISK_BYTES = 1 << 30
PAGE = 500

Verdict = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, how it is, and the words for it."""

    topic: str
    verdict: Verdict
    words: str


def examine(workbench: Workbench) -> list[Finding]:
    """Look at devices, versions, engines, the database, artifacts and the disk. Reads every artifact's presence, so
    the time grows with their number."""
    return [
        *_machine(workbench),
        *_engines(workbench),
        *_database(workbench),
        *_artifacts(workbench),
        _disk(workbench),
    ]


def _machine(workbench: Workbench) -> list[Finding]:
    device = environment.choose_device(workbench.settings.device)
    facts = environment.describe(device)
    name = f" ({facts['device_name']})" if facts["device_name"] else ""
    memory = facts["memory_bytes"] / 2**30
    versions = ", ".join(f"{package} {version}" for package, version in facts["versions"].items())
    return [
        Finding(
            "device",
            "good",
            f"{device}{name}; {facts['cpu']}, {facts['cores']} cores, {memory:.1f} GiB memory",
        ),
        Finding("system", "good", f"Python {facts['python']} on {facts['platform']}"),
        Finding("versions", "good", versions),
    ]


def _engines(workbench: Workbench) -> list[Finding]:
    catalog = workbench.catalog
    findings = []
    for family, engines in catalog.by_family().items():
        findings.append(
            Finding("engines", "good", f"{family}: {', '.join(engine.key for engine in engines)}")
        )
    if not catalog.engines:
        findings.append(Finding("engines", "note", "none found"))
    return findings + [Finding("engines", "bad", sentence) for sentence in catalog.broken.values()]


def _database(workbench: Workbench) -> list[Finding]:
    store = workbench.store
    if store.database.is_sqlite:
        answers = store.database.read(
            lambda connection: connection.execute(text("PRAGMA integrity_check")).scalars().all()
        )
        strangers = store.database.read(
            lambda connection: connection.execute(text("PRAGMA foreign_key_check")).all()
        )
        if list(answers) != ["ok"] or strangers:
            words = (
                "; ".join(map(str, answers))
                if list(answers) != ["ok"]
                else f"{len(strangers)} rows refer to nothing"
            )
            return [
                Finding("database", "bad", f"damaged: {words}. Export what can be read, and restore a copy.")
            ]
    total = workbench.runs(RunQuery(limit=1)).total
    active = workbench.runs(RunQuery(statuses=(Status.queued, Status.running), limit=1)).total
    return [Finding("database", "good", f"sound, {total} runs, {active} of them queued or running")]


def _artifacts(workbench: Workbench) -> list[Finding]:
    """Whether the file of every row is there."""
    store = workbench.store
    query = ARTIFACT.select().order_by(ARTIFACT.c.hash)
    rows: list[Any] = store.database.read(lambda connection: list(connection.execute(query).all()))
    missing = [row.hash for row in rows if not store.artifacts.exists(row.hash)]
    if missing:
        shown = ", ".join(content_hash[:12] for content_hash in missing[:5])
        return [Finding("artifacts", "bad", f"{len(missing)} of {len(rows)} files are missing: {shown}")]
    size = sum(row.size for row in rows) / 2**20
    return [Finding("artifacts", "good", f"{len(rows)} files, {size:.1f} MiB, all there")]


def _disk(workbench: Workbench) -> Finding:
    free = shutil.disk_usage(workbench.settings.home).free
    verdict: Verdict = "bad" if free < LOW_DISK_BYTES else "good"
    return Finding("disk", verdict, f"{free / 2**30:.1f} GiB free where the records are")


def unreadable(error: Exception) -> Finding:
    """The finding for a store that cannot even be opened."""
    return Finding("database", "bad", str(error))

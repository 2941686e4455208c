"""Runs, engines and claims as plain JSON: what `--json` prints, what the API answers, what an export holds.

Numbers that JSON does not have are the words "nan", "inf" and "-inf".
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from engines.contract import Engine
from engines.validation import FieldError
from workbench.catalog import Catalog
from workbench.errors import InvalidParams, WorkbenchError

if TYPE_CHECKING:
    from storage import Record, Run, RunRow

Document = dict[str, Any]


def run_document(record: Record) -> Document:
    """One run: its row, a summary of each curve, the claims, and what files it has."""
    return {
        "run": run_object(record.run),
        "series": {
            f"{info.series}/{info.name}": {
                "last": plain(info.last_value),
                "min": plain(info.min),
                "max": plain(info.max),
                "count": info.count,
                "nonfinite": info.nonfinite,
            }
            for info in record.series()
        },
        "claims": claim_objects(record),
        "artifacts": artifact_objects(record),
        "tables": {name: plain(dataclasses.asdict(table)) for name, table in record.tables().items()},
        "alerts": [plain(dataclasses.asdict(alert)) for alert in record.alerts()],
    }


def run_object(run: Run) -> Document:
    """The row of a run."""
    document: Document = {
        "id": run.id,
        "engine": run.engine,
        "engine_version": run.engine_version,
        "status": run.status.value,
        "preset": run.preset,
        "seed": run.seed,
        "params": run.params,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_s": run.duration_s,
        "owner": run.owner,
        "parent_id": run.parent_id,
        "tags": list(run.tags),
        "note": run.note,
        "error": run.error,
        "error_kind": run.error_kind,
        "progress": {"done": run.progress_done, "total": run.progress_total, "note": run.progress_note},
        "environment": run.environment,
    }
    return {name: plain(value) for name, value in document.items()}


PRIVATE = ("environment", "owner")
"""What of a run's row strangers are not told."""


def public(document: Document, known_parents: Collection[str] = ()) -> Document:
    """A run's row, or its document, as strangers may read it. A run's id is its key: they are told the parent's only
    where it is among `known_parents`."""
    if "run" in document:
        return {**document, "run": public(document["run"], known_parents)}
    parent = document["parent_id"] if document["parent_id"] in known_parents else None
    return {**{name: value for name, value in document.items() if name not in PRIVATE}, "parent_id": parent}


def parent_of(document: Document) -> str | None:
    """The parent that a run's row, or its document, names."""
    parent: str | None = document.get("run", document)["parent_id"]
    return parent


def row_object(row: RunRow) -> Document:
    """A run in a list: its row with its headline number and how its claims fared."""
    claims = {"held": row.claims_held, "failed": row.claims_failed, "open": row.claims_open}
    return {**run_object(row.run), "headline": plain(row.headline), "claims": claims}


def claim_objects(record: Record) -> list[Document]:
    """What became of each claim."""
    return [
        {
            "key": claim.key,
            "statement": claim.statement,
            "measured": plain(claim.measured),
            "baseline": plain(claim.baseline),
            "paper": claim.paper,
            "holds": claim.holds,
            "unit": claim.unit,
            "detail": claim.detail,
        }
        for claim in record.claims()
    ]


def artifact_objects(record: Record) -> list[Document]:
    """Pictures and result files, each with the hash of its content."""
    pictures = [
        {
            "kind": "picture",
            "name": picture.name,
            "step": plain(picture.step),
            "caption": picture.caption,
            "hash": picture.hash,
            "media_type": "image/png",
            "width": picture.width,
            "height": picture.height,
        }
        for picture in record.pictures()
    ]
    files = [
        {
            "kind": "file",
            "name": file.name,
            "caption": file.caption,
            "hash": file.hash,
            "media_type": file.media_type,
            "filename": file.filename,
            "size_bytes": file.size,
        }
        for file in record.files()
    ]
    return pictures + files


def engine_object(engine: Engine, catalog: Catalog) -> Document:
    """What can be run: paper, presets, claims and the JSON schema of the parameters."""
    paper = engine.paper
    return {
        "key": engine.key,
        "family": paper.family,
        "title": paper.title,
        "short": paper.short,
        "summary": paper.summary,
        "year": paper.year,
        "authors": list(paper.authors),
        "arxiv": paper.arxiv,
        "code": paper.code,
        "version": catalog.version(engine.key),
        "presets": {
            name: {"title": preset.title, "help": preset.help, "values": plain(dict(preset.values))}
            for name, preset in engine.presets.items()
        },
        "claims": [dataclasses.asdict(claim) for claim in engine.claims],
        "params": engine.params.model_json_schema(),
    }


def error_document(error: WorkbenchError) -> Document:
    """What `--json` prints where there is nothing else to print."""
    document: Document = {"error": {"kind": type(error).__name__, "message": error.sentence}}
    if isinstance(error, InvalidParams):
        document["error"]["fields"] = [_field(item) for item in error.errors]
    return document


def to_text(document: Any) -> str:
    """The JSON text of a document."""
    return json.dumps(plain(document), ensure_ascii=False, indent=2, allow_nan=False)


def plain(value: Any) -> Any:
    """`value` with "nan", "inf" and "-inf" for the numbers that JSON lacks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return value


def _field(error: FieldError) -> Document:
    shown = error.value if isinstance(error.value, str | int | float | bool | None) else str(error.value)
    return {"field": error.field, "value": plain(shown), "sentence": error.sentence}

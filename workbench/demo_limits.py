"""What a hosted demo allows a guest: how much, how long, and which values of a parameter."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engines.contract import Engine, Params, upload_fields
from engines.validation import FieldError
from workbench.errors import BadSetting, InvalidParams

ELSEWHERE = "Install the workbench"
_PATH = re.compile(r"\s*(?:[/\\~]|\.{1,2}(?:[/\\]|$)|[A-Za-z]:[/\\]|[A-Za-z][A-Za-z0-9+.-]*://|file:)")
"""Text that a library could take for a path or an address: absolute, relative, of a home, of a drive, a URL."""


@dataclass(frozen=True)
class DemoLimits:
    """Limits of a demo. Each can be set by `WORKBENCH_DEMO_<NAME>` (see docs/hosting.md)."""

    runs: int = 2
    """Runs of one guest that are queued or running."""
    hourly: int = 60
    """Runs that one guest starts in an hour."""
    queue: int = 40
    """Queued runs of all guests together."""
    run_seconds: int = 300
    """After these a run is stopped, with everything kept that it recorded."""
    upload_mb: int = 16
    """Largest upload."""
    uploads_mb: int = 1024
    """Uploads of all guests in an hour, together."""
    uploads: int = 20
    """Uploads of one guest in an hour."""
    keep_days: int = 30
    """So long is a guest's run kept after its end; runs of the owner are kept for ever."""
    disk_mb: int = 10_240
    """What all records may take before no more uploads and runs of guests are taken."""
    allow: frozenset[tuple[str, str, str]] = field(default_factory=frozenset)
    """(engine, field, value) that a guest may choose although the engine keeps that field to its default."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> DemoLimits:
        """The defaults with `WORKBENCH_DEMO_<NAME>` over them. Raises BadSetting."""
        given = os.environ if environment is None else environment
        changes: dict[str, Any] = {}
        for name in (
            "runs",
            "hourly",
            "queue",
            "run_seconds",
            "upload_mb",
            "uploads_mb",
            "uploads",
            "keep_days",
            "disk_mb",
        ):
            variable = f"WORKBENCH_DEMO_{name.upper()}"
            if text := given.get(variable):
                if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
                    raise BadSetting(
                        f"{variable} must be a whole number from 1 to 1,000,000; got {text[:40]!r}."
                    )
                changes[name] = int(text)
        if text := given.get("WORKBENCH_DEMO_ALLOW"):
            changes["allow"] = frozenset(
                map(_allowed, filter(None, (word.strip() for word in text.split(","))))
            )
        return cls(**changes)


def _allowed(word: str) -> tuple[str, str, str]:
    place, equals, value = word.partition("=")
    engine, dot, name = place.partition(".")
    if not (equals and dot and engine and name and value):
        raise BadSetting(f"WORKBENCH_DEMO_ALLOW takes engine.field=value,...; got {word[:80]!r}.")
    return engine, name, value


def check_params(engine: Engine, params: Params, limits: DemoLimits) -> None:
    """Refuse what is above a field's ceiling on a demo, what could name code, folders or models of others, and any
    text that looks like a path. `params` are the values as they would be recorded, the preset's included.

    Raises InvalidParams with one entry for each field."""
    errors = []
    uploads = upload_fields(type(params))
    for name, info in type(params).model_fields.items():
        value = getattr(params, name)
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        default = info.get_default(call_default_factory=True)
        if value == default:
            continue
        if extra.get("own_machine_only") and not _is_allowed(engine, name, value, extra, limits):
            errors.append(FieldError(name, value, _keep(name, extra)))
        elif (ceiling := extra.get("demo_max")) is not None and _largest(value) > float(ceiling):  # type: ignore[arg-type]
            sentence = (
                f"{name} must be at most {ceiling:g} on this demo; got {_shown(value)}. {ELSEWHERE} for more."
            )
            errors.append(FieldError(name, value, sentence))
        elif name not in uploads and any(_PATH.match(text) for text in _texts(value)):
            sentence = f"{name} must not be a path or an address on this demo; got {_shown(value)}. {ELSEWHERE} to use your own files."
            errors.append(FieldError(name, value, sentence))
    if errors:
        raise InvalidParams(errors)


def _is_allowed(engine: Engine, name: str, value: Any, extra: Mapping[str, Any], limits: DemoLimits) -> bool:
    return str(value) in (extra.get("demo_allowed") or ()) or (engine.key, name, str(value)) in limits.allow


def _keep(name: str, extra: Mapping[str, Any]) -> str:
    allowed = list(extra.get("demo_allowed") or ())
    if allowed:
        return f"{name} must be one of {', '.join(allowed)} on this demo. {ELSEWHERE} to choose another."
    return f"{name} is as it is on this demo. {ELSEWHERE} to choose another."


def _largest(value: Any) -> float:
    """The number that a ceiling is compared with: of a list its largest."""
    if isinstance(value, list | tuple):
        return max((_largest(item) for item in value), default=float("-inf"))
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("-inf")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from (*_texts(key), *_texts(item))
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

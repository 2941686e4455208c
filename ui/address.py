"""Every view has an address: what the query of the page's URL asks for, and the query of a view."""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, urlencode

Kind = Literal["home", "engine", "run", "library"]
RUN_ID = re.compile(r"[0-9a-z]{26}")
MAX_QUERY = 64_000


@dataclass(frozen=True)
class Target:
    """Where a reader wants to be."""

    kind: Kind
    engine: str = ""
    run: str = ""
    preset: str = ""
    source: str = ""
    """A run whose settings fill the form; the next run is its fork."""
    filled: dict[str, Any] = field(default_factory=dict)
    """Settings for the form that come with the address: params, seed, preset."""
    compared: tuple[str, ...] = ()


def parse(search: str) -> Target:
    """The target of a query string, with or without its "?". What cannot be understood leads home; the caller
    says so for an unknown engine or run."""
    given = {name: values[-1].strip() for name, values in parse_qs(search[:MAX_QUERY].lstrip("?")).items()}
    if run := given.get("run"):
        return Target("run", run=run.lower())
    if compared := given.get("compare"):
        return Target(
            "library", compared=tuple(part for part in compared.split(",") if RUN_ID.fullmatch(part))
        )
    if sweep := given.get("sweep"):
        return Target("library", run=sweep.lower())
    if engine := given.get("engine"):
        return Target(
            "engine",
            engine=engine,
            preset=given.get("preset", ""),
            source=given.get("from", "").lower(),
            filled=_unpack(given.get("values", "")),
        )
    return Target("library" if given.get("view") in ("library", "claims") else "home")


def query(**parts: str) -> str:
    """The query string of a view: `query(run=id)` is "?run=<id>", without parts it is empty."""
    kept = {name: value for name, value in parts.items() if value}
    return "?" + urlencode(kept) if kept else ""


def pack(values: dict[str, Any]) -> str:
    """Settings for the `values` part of an address: JSON in base64url without padding."""
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def _unpack(text: str) -> dict[str, Any]:
    """The settings that `pack` wrote; none where the text is damaged, so that the page opens all the same."""
    try:
        found = json.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        return {}
    return found if isinstance(found, dict) else {}

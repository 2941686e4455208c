"""What the training of the shipped noise-aware rewards measured, and which prompts it never saw. Light."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from engines.images.ttsnap.weights_file import SHIPPED


@lru_cache(maxsize=1)
def shipped() -> dict[str, Any]:
    """`figures.json` of the shipped weights; empty where there is none."""
    path = SHIPPED / "figures.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def held(number: int | None = None) -> tuple[str, ...]:
    """Prompts that the shipped rewards were not trained on, all tasks in turn."""
    return tuple(shipped().get("held", ()))[:number]

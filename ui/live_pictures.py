"""Pictures of a run by group, as the page's script takes them: hashes and captions, never pixels or paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from storage import PictureInfo
from ui.live_words import title
from ui.views import BEFORE, PictureLayout, Strip


def groups(
    pictures: Sequence[PictureInfo], layout: PictureLayout, *, changed: frozenset[str] | None = None
) -> list[dict[str, Any]]:
    """Pictures whose name is in `changed` (None: all) by group: a group is the part of a name before "/", and
    has one slider over its steps. Pictures without "/" stand together."""
    found: dict[str, dict[str, Any]] = {}
    for order, strip in enumerate(layout.arrange(pictures)):
        key = strip.name.split("/", 1)[0] if "/" in strip.name else ""
        heading = title(key) or layout.title
        group = found.setdefault(
            key, {"key": key, "title": heading, "order": order, "step": layout.step, "items": []}
        )
        if changed is None or strip.name in changed or strip.name + BEFORE in changed:
            group["items"].append(_item(strip, layout, order))
    return [group for group in found.values() if group["items"]]


def _item(strip: Strip, layout: PictureLayout, order: int) -> dict[str, Any]:
    return {
        "name": strip.name,
        "title": title(strip.label),
        "order": order,
        "role": "winner" if strip.emphasised else "",
        "pixelated": layout.pixelated,
        "before": strip.before.hash if strip.before else "",
        "beforeWords": strip.before.caption if strip.before else "",
        "frames": [
            {
                "step": frame.step,
                "hash": frame.hash,
                "caption": frame.caption,
                "width": frame.width,
                "height": frame.height,
            }
            for frame in strip.frames
        ],
    }

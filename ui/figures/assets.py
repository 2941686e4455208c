"""What the page loads to draw figures: one script, one stylesheet, both without a network."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from ui.figures.palette import SCHEMES

_HERE = Path(__file__).parent


@cache
def script() -> str:
    """JavaScript that defines `window.PaperFigures` with the palette in it; runs once, whoever loads it."""
    text = (_HERE / "figure.js").read_text("utf-8")
    return text.replace("__SCHEMES__", json.dumps(SCHEMES))


@cache
def styles() -> str:
    """The stylesheet of figures (`.pf*`), on the page's --wb-* variables."""
    return (_HERE / "figure.css").read_text("utf-8")

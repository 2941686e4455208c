"""The file around a report: styles with their fonts, the renderer, packed figures, and what may run."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path

from ui import figures, look
from ui.figures import Figure

HERE = Path(__file__).parent
FONT = re.compile(r'url\("wb/fonts/([\w-]+\.woff2)"\)')


@dataclass(frozen=True)
class Page:
    """What a report says: `body` is HTML in which everything recorded is escaped already; `drawn` holds the
    figures for its frames (`data-figure`), by key."""

    title: str
    body: str
    drawn: Mapping[str, Figure] = field(default_factory=dict)


def assemble(page: Page) -> str:
    """The whole file."""
    scripts = [figures.script(), (HERE / "report.js").read_text("utf-8")] if page.drawn else []
    packed = [_data("wb-plotly", _plotly()), _data("wb-figures", _packed(page.drawn))] if page.drawn else []
    hashes = [_hash(text) for text in (*scripts, *([plotly_source()] if page.drawn else []))]
    policy = (
        f"default-src 'none'; script-src {' '.join(hashes) or chr(39) + 'none' + chr(39)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
    )
    inline = "".join(f"<script>{text}</script>\n" for text in scripts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light">\n'
        f'<link rel="icon" href="data:image/svg+xml;base64,{_base64((look.STATIC / "icon.svg").read_bytes())}">\n'
        f"<title>{escape(page.title)}</title>\n<style>\n{styles()}\n</style>\n</head>\n"
        f'<body class="gradio-container">\n<main class="wb-report">\n{page.body}\n</main>\n'
        f"{''.join(packed)}{inline}</body>\n</html>\n"
    )


@cache
def styles() -> str:
    """The light scheme, the page's type and stage, the figures' own, and what only a report has."""
    sheets = [
        look.stylesheet("base.css"),
        look.stylesheet("live.css"),
        look.stylesheet("library.css"),
        figures.styles(),
    ]
    sheets.append((HERE / "report.css").read_text("utf-8"))
    text = "\n".join([f":root {{ {look.variables('light')} }}", *sheets])
    return FONT.sub(lambda found: f'url("data:font/woff2;base64,{_font(found[1])}")', text)


def _font(name: str) -> str:
    return _base64((look.STATIC / "fonts" / name).read_bytes())


@cache
def plotly_source() -> str:
    import plotly

    return (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_text("utf-8")


@cache
def _plotly() -> str:
    """Plotly's script as it travels: a third of its size."""
    return _base64(gzip.compress(plotly_source().encode("utf-8"), 9, mtime=0))


def _packed(drawn: Mapping[str, Figure]) -> str:
    """The figures as JSON, compressed. In base64 no text of a figure can end the element around it."""
    text = json.dumps(drawn, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _base64(gzip.compress(text.encode("utf-8"), 9, mtime=0))


def _data(name: str, text: str) -> str:
    return f'<script type="text/plain" id="{name}">{text}</script>\n'


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{_base64(digest)}'"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

"""The empty stage of an engine: every part in its place and at its size before a run has said anything."""

from __future__ import annotations

from html import escape

from engines.contract import Engine
from ui import live_parts
from ui.form_fields import preset_values
from ui.views import FigureSpec, View

EARLY = 4
"""Frames shown before a run; the others come when it starts."""


def markup(engine: Engine, view: View) -> str:
    """Status line, notice, alerts, figures, pictures, tables, texts, files and claims, in reading order."""
    specs = view.specs(preset_values(engine, "default"))
    figures = "".join(frame(spec) for spec in specs[:EARLY])
    idle = idle_words(engine)
    pictures = _pictures(view)
    parts = [
        '<div class="wb-status" data-part="status" data-state="idle" role="group" aria-label="State of the run">'
        '<span class="wb-state" data-state="idle" aria-live="polite">Ready</span>'
        '<div class="wb-bar" role="progressbar" aria-label="Progress" aria-valuemin="0" aria-valuemax="100"><i></i></div>'
        f'<div class="wb-facts"><span>{escape(idle)}</span></div><div class="wb-run-actions"></div></div>',
        '<div class="wb-notice" data-part="notice" role="status" hidden></div>',
        '<div data-part="alerts" hidden></div>',
        '<div class="wb-texts" data-part="texts" hidden></div>',
        *(['<div class="wb-stack" data-part="lead" hidden></div>'] if view.lead else []),
        *([pictures] if view.pictures.first else []),
        f'<div class="wb-figures" data-part="figures">{figures}</div>',
        *([] if view.pictures.first else [pictures]),
        '<div data-part="inquiry" hidden></div>',
        '<div class="wb-stack" data-part="tables" hidden></div>',
        '<div data-part="files" hidden></div>',
        f'<div data-part="claims">{live_parts.claims(engine.claims, (), is_over=False)}</div>',
    ]
    return f'<section class="wb-stage" aria-label="Run" data-engine="{escape(engine.key)}">{"".join(parts)}</section>'


def _pictures(view: View) -> str:
    """Where the pictures of a run will stand; above the figures it says so in a frame of their size."""
    words = view.pictures.awaits
    if not words:
        return '<div class="wb-stack" data-part="pictures" hidden></div>'
    void = f'<section class="wb-block wb-awaits"><div class="wb-void"><span>{escape(words)}</span></div></section>'
    return f'<div class="wb-stack" data-part="pictures">{void}</div>'


def idle_words(engine: Engine) -> str:
    """What stands in the status line before a run: what to press, and what the default does."""
    words = engine.presets["default"].help.rstrip(".")
    return f"Press Run. {words}." if words else "Press Run."


def frame(spec: FigureSpec) -> str:
    """One figure's frame at its final size, with its title and what will appear in it."""
    height = int(spec.empty()["layout"].get("height") or spec.height)
    subtitle = f'<p class="pf-subtitle">{escape(spec.subtitle)}</p>' if spec.subtitle else ""
    wide = " data-wide" if spec.wide else ""
    return (
        f'<div class="wb-frame pf" data-figure="{escape(spec.key)}"{wide}><div class="pf-head"><div class="pf-words">'
        f'<h4 class="pf-title">{escape(spec.title)}</h4>{subtitle}</div></div>'
        f'<div class="wb-void" style="min-height: {height + 6}px"><span>{escape(spec.awaits)}</span></div></div>'
    )

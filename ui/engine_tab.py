"""One engine on the page: the paper's head, the form beside the stage, and what the paper is about."""

from __future__ import annotations

from html import escape

import gradio as gr

from engines.contract import Engine
from ui import form, home, live_stage, theme
from ui.views import View

DELIMITERS = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "\\[", "right": "\\]", "display": True},
    {"left": "$", "right": "$", "display": False},
    {"left": "\\(", "right": "\\)", "display": False},
]


def build(engine: Engine, view: View, *, demo: bool = False) -> None:
    """Lay the engine out inside the tab at hand."""
    gr.HTML(
        html_template=template(markup(engine, view, demo=demo)),
        js_on_load="new window.wb.Bench(element.querySelector('.wb-bench'));",
        head=theme.script_tag(),
        apply_default_css=False,
    )
    with gr.Column(elem_classes="wb-about"):
        gr.HTML('<h2 class="wb-about-title">About this paper</h2>', apply_default_css=False)
        gr.Markdown(
            home.about(engine), latex_delimiters=DELIMITERS, elem_classes="wb-about-body", sanitize_html=True
        )


def markup(engine: Engine, view: View, *, demo: bool = False) -> str:
    """Head, form and stage."""
    paper = engine.paper
    links = "".join(
        f'<a href="{escape(address)}" target="_blank" rel="noreferrer">{word}</a>'
        for word, address in home.references(engine)
    )
    has_year = str(paper.year) in paper.venue
    where = paper.venue if has_year else ", ".join(filter(None, [paper.venue, str(paper.year)]))
    return (
        f'<div class="wb-bench" data-engine="{escape(engine.key)}"><header class="wb-paper">'
        f"<h1>{escape(paper.title)}</h1>"
        f'<p class="wb-by">{escape(home.authors(engine))}. {escape(where)}{links}</p>'
        f'<p class="wb-idea">{escape(paper.summary)}</p></header>'
        f'<div class="wb-desk">{form.markup(engine, demo=demo)}{live_stage.markup(engine, view)}</div></div>'
    )


def template(html: str) -> str:
    """HTML that Gradio's template engines (Handlebars, then a JavaScript template string) leave as it is."""
    for character in "\\`${}":
        html = html.replace(character, f"&#{ord(character)};")
    return html

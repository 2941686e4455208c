"""The Library: every run there is, to find, compare, annotate, take away and bring in.

The tab is a shell; its script asks the routes of `ui.library.routes` and shows the HTML that they answer, so a
list of a thousand runs costs the page one screen of rows."""

from __future__ import annotations

import gradio as gr

from ui import theme
from ui.library.routes import routes
from workbench.runs import Workbench

__all__ = ["build", "routes"]

SHELL = """
<div class="wb-library" aria-label="Library of runs">
  <div class="wb-lib-main">
    <div class="wb-lib-bar" role="search">
      <input type="search" class="wb-input" data-lib="text" placeholder="Search runs, tags, notes, parameters" aria-label="Search runs">
      <select class="wb-input" data-lib="engine" aria-label="Engine"><option value="">All papers</option></select>
      <select class="wb-input" data-lib="status" aria-label="Status"><option value="">Any status</option></select>
      <select class="wb-input" data-lib="tag" aria-label="Tag"><option value="">Any tag</option></select>
      <label class="wb-secondary wb-lib-import" title="A bundle, curves as a table (CSV, Parquet) or as TensorBoard events, or a PNG that holds its settings"><input type="file" data-lib="file"><span>Import a file</span></label>
      <a class="wb-secondary" data-wb href="?view=claims">Claims board</a>
    </div>
    <p class="wb-lib-notice" role="status" aria-live="polite" hidden></p>
    <div class="wb-lib-selected" hidden><span data-lib="count"></span>
      <button type="button" class="wb-primary" data-lib-do="compare">Compare</button>
      <button type="button" class="wb-secondary" data-lib-do="export-many">Export</button>
      <button type="button" class="wb-secondary" data-lib-do="delete-many">Delete</button>
      <button type="button" class="wb-link" data-lib-do="clear">Clear the selection</button></div>
    <div class="wb-lib-rows" data-lib="rows"><div class="wb-empty">Reading the runs.</div></div>
  </div>
  <div class="wb-lib-compare" hidden></div>
  <div class="wb-lib-board" hidden></div>
  <div class="wb-lib-sweep" hidden></div>
  <dialog class="wb-dialog"></dialog>
</div>
"""


def build(workbench: Workbench) -> None:
    """Lay the Library out inside the tab at hand."""
    gr.HTML(
        html_template=SHELL,
        js_on_load="window.wb.mountLibrary(element.querySelector('.wb-library'));",
        head=theme.script_tag(),
        apply_default_css=False,
    )

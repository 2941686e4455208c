"""Figures of a run as PNG, SVG and PDF files, drawn by a headless Chromium of this machine: the same script as on the page."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from html import escape, unescape
from pathlib import Path
from urllib.parse import unquote_to_bytes

from storage import Record
from ui import figures, look
from ui.figures import Figure
from ui.report import swept
from ui.report.file import plotly_source
from ui.views import default_view, view_for
from workbench import sweeps
from workbench.errors import FileTrouble, MissingPackage, UsageError, WorkbenchError, storage_seam
from workbench.exports import whole
from workbench.outside import stand_in
from workbench.runs import Workbench
from workbench.sweeps import SWEEP

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LIMIT_S = 180
WIDTH = 760
FONTS = "'Source Sans 3', 'Helvetica Neue', Arial, 'Liberation Sans', sans-serif"
"""An SVG names its font and does not bring it along, so there are names for every system."""
END = "<\\/script"
"""The end of a script inside a script, written so that it does not end it."""
DRAW = """
(async () => {
  for (const frame of document.querySelectorAll("[data-figure]")) {
    window.PaperFigures.draw(frame, FIGURES[frame.dataset.figure]);
    for (const format of ["svg", "png"]) {
      const out = document.createElement("pre");
      out.dataset.key = frame.dataset.figure;
      out.dataset.format = format;
      out.textContent = await window.PaperFigures.image(frame, format);
      document.body.append(out);
    }
  }
})();
"""
PICTURE = re.compile(r'<pre data-key="([^"]*)" data-format="(svg|png)">([^<]*)</pre>')


def write_figures(workbench: Workbench, ids: list[str], folder: Path) -> list[Path]:
    """Write every figure of the runs and sweeps as SVG and PNG, and all of each as one PDF with a figure a page; answers the
    files.

    Raises MissingPackage without a browser, FileTrouble, UnknownRun, UsageError where there is nothing to draw."""
    browser = find_browser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileTrouble(
            f"{folder.name} is no folder that can be written to: {(error.strerror or str(error)).lower()}."
        ) from error
    written = []
    for run_id in ids:
        with storage_seam():
            record = workbench.record(run_id)
            drawn = _drawn(workbench, record)
        if drawn:
            written += _write(browser, record, drawn, folder)
    if not written:
        raise UsageError(
            "There is nothing to draw yet: no curve, table or picture was recorded that a figure shows."
        )
    return written


def find_browser() -> str:
    """A Chromium on this machine. Raises MissingPackage."""
    named = (os.environ.get("BROWSER_PATH", ""), *BROWSERS)
    for name in filter(None, named):
        if found := shutil.which(name):
            return found
    raise MissingPackage(
        "Figures become files through Chromium, and there is none here: install chromium, or use the buttons over a figure on the page."
    )


def _drawn(workbench: Workbench, record: Record) -> dict[str, Figure]:
    run = record.run
    if run.engine == SWEEP:
        made = swept.figures_of(workbench, sweeps.read(workbench, run.id))
        return {key: figure for key, figure in made.items() if figure["data"]}
    known = run.engine in workbench.catalog.engines
    view = (
        view_for(run.engine, workbench.catalog)
        if known
        else default_view(stand_in(run.engine, (run.headline_series, run.headline_name)))
    )
    specs = view.specs(run.params, record)
    return {spec.key: figure for spec in specs if (figure := spec.build(record))["data"]}


def _write(browser: str, record: Record, drawn: Mapping[str, Figure], folder: Path) -> list[Path]:
    stem = f"{record.run.engine}-{record.run.id[-6:]}"
    files: dict[str, bytes] = {}
    pages = []
    with tempfile.TemporaryDirectory(prefix="workbench-figures-") as room:
        dom = _chromium(browser, Path(room), _page(drawn), "--virtual-time-budget=120000", "--dump-dom")
        for key, kind, address in PICTURE.findall(dom):
            name = re.sub(r"[^\w-]+", "-", unescape(key)).strip("-").lower() or "figure"
            files[f"{stem}-{name}.{kind}"] = _bytes_of(unescape(address))
            if kind == "svg":
                pages.append(f'<section><img src="{address}" alt=""></section>')
        if len(files) != 2 * len(drawn):
            raise WorkbenchError(
                f"Chromium drew {len(files) // 2} of {len(drawn)} figures of run {record.run.id}."
            )
        pdf = Path(room) / "figures.pdf"
        _chromium(browser, Path(room), _paper(pages), "--no-pdf-header-footer", f"--print-to-pdf={pdf}")
        files[f"{stem}.pdf"] = pdf.read_bytes()
    for name, data in files.items():
        with whole(folder / name) as partial:
            partial.write_bytes(data)
    return [folder / name for name in files]


def _chromium(browser: str, room: Path, page: str, *options: str) -> str:
    """What Chromium prints about a page of ours. Raises WorkbenchError where it fails or hangs."""
    source = room / "page.html"
    source.write_text(page, encoding="utf-8")
    # Chromium refuses its sandbox to root; the page is ours, and may fetch nothing.
    free = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-background-networking",
               f"--user-data-dir={room / 'profile'}", *free, *options, source.as_uri()]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise WorkbenchError(f"Chromium could not draw the figures: {type(error).__name__}.") from error
    return done.stdout.decode("utf-8", "replace")


def _page(drawn: Mapping[str, Figure]) -> str:
    frames = "".join(f'<div data-figure="{escape(key)}"></div>' for key in drawn)
    data = json.dumps(drawn, allow_nan=False).replace("<", "\\u003c")
    scripts = (_script(plotly_source()), _script(figures.script()), _script(f"const FIGURES = {data};{DRAW}"))
    return _html(
        f":root {{ {look.variables('light')} }} body {{ width: {WIDTH}px; font-family: {FONTS}; }}",
        frames + "".join(scripts),
    )


def _paper(pages: list[str]) -> str:
    style = "@page { size: 820px 560px; margin: 20px; } body { margin: 0; } section { break-after: page; } img { max-width: 100%; max-height: 510px; }"
    return _html(style, "".join(pages))


def _html(style: str, body: str) -> str:
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
    return (
        f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<style>{style}{figures.styles()}</style><body>{body}"
    )


def _script(text: str) -> str:
    return f"<script>{text.replace('</script', END)}</script>"


def _bytes_of(address: str) -> bytes:
    """What a data address holds."""
    head, _, data = address.partition(",")
    return base64.b64decode(data) if head.endswith(";base64") else unquote_to_bytes(data)

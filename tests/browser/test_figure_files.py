"""Figures written from the command line: every figure of a run as SVG, PNG and PDF, or a sentence that says what is missing."""

from __future__ import annotations

import io
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from ui.report import write_figures
from workbench import sweeps
from workbench.errors import FileTrouble, MissingPackage, UsageError
from workbench.runs import Workbench
from workbench.sweep_axes import Axis
from workbench.sweeps import Plan


def test_every_figure_is_drawn_in_three_forms(workbench: Workbench, tmp_path: Path) -> None:
    run = workbench.submit("fixture", {"label": "</script><b>"}, preset="smoke")
    files = write_figures(workbench, [run.id], tmp_path / "made" / "figures")
    by_ending = {
        ending: [path for path in files if path.suffix == ending] for ending in (".svg", ".png", ".pdf")
    }
    assert len(by_ending[".svg"]) == len(by_ending[".png"]) >= 2
    for path in by_ending[".svg"]:
        drawn = ElementTree.fromstring(path.read_text("utf-8"))
        assert drawn.tag.endswith("svg")
        assert [text for text in drawn.iter() if text.tag.endswith("text")], "axes without words"
    for path in by_ending[".png"]:
        with Image.open(io.BytesIO(path.read_bytes())) as image:
            assert image.width >= 1520
            assert len(image.convert("RGB").getcolors(1 << 24) or ()) > 20, "more than an empty sheet"
    [pdf] = by_ending[".pdf"]
    assert pdf.read_bytes().startswith(b"%PDF")


def test_a_sweep_is_drawn_over_its_axes(workbench: Workbench, tmp_path: Path) -> None:
    made = sweeps.create(workbench, Plan("fixture", (Axis("steps", (2, 4)),), (0,), "smoke"))
    with pytest.raises(UsageError, match="nothing to draw yet"):
        write_figures(workbench, [made.run.id], tmp_path)
    for run_id in made.run_ids:
        workbench.run_inline(run_id)
    files = write_figures(workbench, [made.run.id], tmp_path)
    stem = f"sweep-{made.run.id[-6:]}"
    assert {f"{stem}-line-0.svg", f"{stem}-line-0.png", f"{stem}.pdf"} <= {file.name for file in files}
    assert "error of Ours" in (tmp_path / f"{stem}-line-0.svg").read_text("utf-8")


def test_without_a_browser_the_sentence_names_it(
    workbench: Workbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = workbench.submit("fixture", preset="smoke")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingPackage, match="install chromium"):
        write_figures(workbench, [run.id], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_file_in_the_place_of_the_folder_is_told(workbench: Workbench, tmp_path: Path) -> None:
    run = workbench.submit("fixture", preset="smoke")
    (tmp_path / "taken").write_text("")
    with pytest.raises(FileTrouble, match="taken"):
        write_figures(workbench, [run.id], tmp_path / "taken")

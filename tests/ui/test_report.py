"""A report stands alone: nothing in it points elsewhere, nothing recorded becomes markup, every part is there."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ui import report
from ui.report.prose import formula, prose
from workbench import sweeps
from workbench.catalog import Catalog
from workbench.errors import UsageError
from workbench.outside import record as recorded
from workbench.runs import Workbench
from workbench.sweep_axes import Axis as SweepAxis
from workbench.sweeps import Plan

HOSTILE = "<img src=x onerror=alert(1)></script>"


def finished(workbench: Workbench, seed: int = 3, **values: Any) -> str:
    run = workbench.create("fixture", values, preset="smoke", seed=seed)
    workbench.run_inline(run.id)
    return run.id


def figures_of(text: str) -> dict[str, Any]:
    packed = re.search(r'id="wb-figures">([^<]*)<', text)
    assert packed is not None
    return dict(json.loads(gzip.decompress(base64.b64decode(packed[1]))))


def test_a_report_holds_all_parts_of_its_run_and_points_nowhere(workbench: Workbench) -> None:
    run_id = finished(workbench)
    workbench.note(run_id, HOSTILE)
    text = report.html(workbench, [run_id])
    for part in (
        "What the paper claims",
        "Figures",
        "Settings",
        "Run it again",
        "Where it ran",
        "About this paper",
    ):
        assert part in text
    assert "workbench run fixture --preset smoke --seed 3" in text
    assert "<img src=x" not in text
    outside = re.findall(r'(?:src|href)="(?!data:|https://arxiv\.org|https://github\.com)([^"]*)"', text)
    assert not outside
    assert not re.findall(r"url\((?!['\"]?data:)[^)]*\)", text.partition("</style>")[0])
    drawn = figures_of(text)
    assert drawn
    assert set(drawn) == set(re.findall(r'data-figure="([^"]*)"', text))
    assert len(text) < 5_000_000


def test_strangers_are_not_told_where_it_ran(workbench: Workbench) -> None:
    run_id = finished(workbench)
    workbench.note(run_id, "a private word")
    text = report.html(workbench, [run_id], for_strangers=True)
    assert "Where it ran" not in text
    assert "a private word" not in text


def test_several_runs_become_a_comparison(workbench: Workbench) -> None:
    ids = [finished(workbench, seed) for seed in (1, 2)]
    text = report.html(workbench, ids)
    assert "2 runs compared" in text
    assert set(figures_of(text)) == set(re.findall(r'data-figure="([^"]*)"', text))
    assert "wb/artifact" not in text
    assert 'href="?' not in text
    with pytest.raises(UsageError, match="2 to 12"):
        report.html(workbench, [])


def test_a_comparison_holds_all_that_its_runs_do_and_nothing_to_press(workbench: Workbench) -> None:
    ids = [finished(workbench, 1), finished(workbench, 2, steps=5)]
    workbench.note(ids[0], HOSTILE)
    text = report.html(workbench, ids)
    page = text.partition("<main")[2].partition("</main>")[0]
    for part in ("Settings", "Figures", "Pictures", "Tables", "Texts", "Run them again", "Where it ran"):
        assert f"<h2>{part}</h2>" in page
    for name in workbench.catalog.engine("fixture").params.model_fields:
        assert f'<th scope="row">{name}</th>' in page, "also what all runs agree on"
    assert not re.findall(r"<(?:button|input)|\bhidden\b(?! *>)", page.replace('role="status" hidden', ""))
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page, "the owner's own note"
    where = page.partition("Where it ran")[2].partition("</table>")[0]
    assert where.count('<th scope="col">smoke, seed') == 2
    assert where.count("<td>cpu</td>") == 2
    tables = page.partition("<h2>Tables</h2>")[2]
    assert {"smoke, seed 1", "smoke, seed 2"} <= set(re.findall(r"<td [^>]*>([^<]*)</td>", tables))
    public = report.html(workbench, ids, for_strangers=True)
    assert "Where it ran" not in public
    assert "&lt;img src=x" not in public


def test_a_comparison_of_many_large_pictures_can_still_be_mailed(workbench: Workbench) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 512, 512, 3), dtype=np.uint8)
    ids = []
    for seed in range(6):
        with recorded("photographs", {"rate": seed}, seed=seed, settings=workbench.settings) as run:
            for name in range(8):
                run.picture(f"large {name}", np.roll(noise[seed], name, axis=0), 0)
        ids.append(run.id)
    text = report.html(workbench, ids)
    assert len(text) < 5_000_000
    assert len(re.findall(r'<img[^>]* src="data:image/webp', text)) == 48, "smaller, and every one there"


def test_many_lines_are_explained_by_colour_and_dash(workbench: Workbench) -> None:
    ids = []
    for rate in (0.1, 0.2, 0.3):
        with recorded("race", {"rate": rate}, headline=("Ours", "loss"), settings=workbench.settings) as run:
            for series in ("Ours", "Adam", "SGD"):
                for step in range(3):
                    run.scalar("loss", rate + step, step, series)
        ids.append(run.id)
    figure = figures_of(report.html(workbench, ids))["loss"]
    named = [trace["name"] for trace in figure["data"] if trace["showlegend"]]
    assert named == ["rate 0.1; seed 0", "rate 0.2; seed 0", "rate 0.3; seed 0", "Ours", "Adam", "SGD"]
    lines = [trace for trace in figure["data"] if not trace["showlegend"]]
    assert len(lines) == 9
    for key in figure["data"][-3:]:
        assert {line["line"]["dash"] for line in lines if line["name"].startswith(key["name"])} == {
            key["line"]["dash"]
        }


def outside(workbench: Workbench, rate: float) -> str:
    with recorded("my engine", {"rate": rate}, settings=workbench.settings) as run:
        for step in range(5):
            run.scalar("loss", rate / (1 + step), step=step)
        run.text("remark", HOSTILE)
    return run.id


def test_a_run_of_code_that_is_not_here_has_a_report_too(workbench: Workbench) -> None:
    ids = [outside(workbench, rate) for rate in (0.1, 0.2)]
    alone, together = report.html(workbench, ids[:1]), report.html(workbench, ids)
    for text in (alone, together):
        assert "<h1>my engine:" in text
        assert figures_of(text)
        assert "<img src=x" not in text
        assert "workbench run" not in text, "nothing here could repeat it"
        assert "None" not in text.partition("</style>")[2].partition("<script")[0]
    assert "Where it ran" in alone
    assert "0.2" in together


def test_a_folder_gets_a_file_for_each_run(workbench: Workbench, tmp_path: Path) -> None:
    ids = [finished(workbench, seed) for seed in (1, 2)]
    written = report.write(workbench, ids, tmp_path)
    assert [path.name for path in written] == [f"{run_id}.html" for run_id in ids]
    assert all(path.read_text("utf-8").startswith("<!doctype html>") for path in written)


def test_a_report_of_large_pictures_can_still_be_mailed(workbench: Workbench) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 300, 300, 3), dtype=np.uint8)
    with recorded("photographs", settings=workbench.settings) as run:
        for step, pixels in enumerate(noise):
            run.picture("large", pixels, step)
        run.picture("other", noise[0], 0)
        run.picture("small", noise[0, :8, :8], 0)
    text = report.html(workbench, [run.id])
    assert len(text) < 5_000_000
    kinds = re.findall(r'<img[^>]* src="data:image/(\w+);base64,([^"]*)"', text)
    assert [kind for kind, _ in kinds].count("png") == 1, "small ones stay exact"
    assert 3 < len(kinds) < 13, "fewer frames, and each strip has its newest"
    for kind, data in kinds:
        with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
            assert picture.format == kind.upper()
            assert picture.size in ((300, 300), (8, 8))
    assert "compressed in this file" in text


def test_words_on_a_paper_cannot_bring_markup_of_their_own() -> None:
    made = prose(f"## Idea\n\n{HOSTILE} and $x_1 < \\text{{{HOSTILE}}}$ and `$5`")
    assert "<img" not in made
    assert "<h3>Idea</h3>" in made
    assert "<math" in made
    assert "<code>$5</code>" in made


def test_a_formula_that_is_not_understood_stays_readable() -> None:
    assert "<mfrac>" in formula(r"\frac{a}{b}")
    assert formula(r"\sqrt") == "<code>\\sqrt</code>"


def test_a_sweep_is_one_report_of_its_axes_and_cells(workbench: Workbench) -> None:
    plan = Plan(
        "fixture", (SweepAxis("mode", ("plain", "fail")), SweepAxis("steps", (2, 4))), (0, 1), "smoke"
    )
    made = sweeps.create(workbench, plan)
    for run_id in made.run_ids:
        workbench.run_inline(run_id)
    text = report.html(workbench, [made.run.id])
    assert "sweep over mode and steps" in text
    assert "4 finished, 4 failed" in text
    assert "workbench sweep fixture --preset smoke --over mode=plain,fail --over steps=2,4 --seeds 2" in text
    assert text.count("data:image/png;base64,") == 4, "a picture in each cell, failed ones too"
    assert not re.findall(r'(?:src|href)="(?!data:|https://arxiv\.org|https://github\.com)([^"]*)"', text)
    drawn = figures_of(text)
    assert {"map:0", "lines:0"} <= set(drawn)
    assert set(drawn) == set(re.findall(r'data-figure="([^"]*)"', text))
    page = text.partition("<main")[2]
    assert "✓ holds in" in page.partition("What the paper claims")[2].partition("</table>")[0]
    settings = page.partition("<h2>In every cell</h2>")[2].partition("</table>")[0]
    assert ">label<" in settings, "what was never set is told too"
    assert ">steps<" not in settings, "it is an axis"
    assert "<td>cpu</td>" in page.partition("Where it ran")[2]
    assert "Where it ran" not in report.html(workbench, [made.run.id], for_strangers=True)
    with pytest.raises(UsageError, match="report of its own"):
        report.html(workbench, [made.run.id, made.run_ids[0]])


def test_a_sweep_of_an_engine_that_is_not_here_has_a_report(workbench: Workbench) -> None:
    made = sweeps.create(workbench, Plan("fixture", (SweepAxis("steps", (2, 4)),), (0,), "smoke"))
    for run_id in made.run_ids:
        workbench.run_inline(run_id)
    workbench.catalog = Catalog.of([])
    text = report.html(workbench, [made.run.id])
    assert "<h1>fixture: sweep over steps" in text
    assert "2 finished" in text
    assert "Run it again" not in text

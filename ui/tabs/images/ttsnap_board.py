"""The survival board of TTSnap: stages as rows, seeds as columns, one image with what was cut in grey."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from storage import Record
from ui.figures import Axis, Figure, Head, empty, number, words
from ui.figures.template import frame
from ui.readings import coordinates, kept, newest

MOST_COLUMNS = 48
NARROW_COLUMNS = 10
"""Seeds that a phone shows at once; it drags to the others."""
WIDE_PX = 940
GAP = 2
"""Columns and rows of paper between cells, in image pixels."""
Pixels = NDArray[np.uint8]


def board(record: Record, head: Head) -> Figure:
    """Rows: what the seeds looked like at each cut and, once all are drawn, finished. Columns: seeds, in the order in which
    they stayed longest; grey was cut there, the frame is the winner."""
    x, y = Axis("seeds, longest in the race first"), Axis()
    rows = _rows(record)
    if not rows:
        return empty(head, "", x, y)
    order = _order(rows)[:MOST_COLUMNS]
    side = 32 if len(order) > 16 else 64
    figure = frame(head, x, y)
    layout = figure["layout"]
    layout["hovermode"] = "closest"
    layout["margin"].update(l=86)
    image = _composite(rows, order, side)
    pitch = side + GAP
    step_x, step_y = 1 / pitch, 1 / pitch
    figure["data"].append(
        {
            "type": "image", "uid": "board", "source": image, "x0": -0.5 + step_x / 2, "y0": -0.5 + step_y / 2, "dx": step_x,
            "dy": step_y, "hoverinfo": "skip", "name": "",
        }
    )  # fmt: skip
    figure["data"].append(_hover(rows, order))
    layout["xaxis"].update(
        range=[-0.5, len(order) - 0.5], showgrid=False, showticklabels=len(order) <= 40, tickmode="array",
        tickvals=list(range(len(order))), ticktext=[str(seed) for seed in order], ticks="", tickangle=0,
    )  # fmt: skip
    layout["yaxis"].update(
        range=[len(rows) - 0.5, -0.5], showgrid=False, tickmode="array", tickvals=list(range(len(rows))),
        ticktext=[words(row["label"]) for row in rows], ticks="",
    )  # fmt: skip
    # image traces keep their pixels square: as tall as the cells of a wide page are
    layout["height"] = round(84 + len(rows) * min(64, WIDE_PX / len(order)))
    layout["meta"]["pw"]["height"] = layout["height"]
    if len(order) > NARROW_COLUMNS:
        layout["meta"]["pw"]["narrow_x"] = [-0.5, NARROW_COLUMNS - 0.5]
    winner = next((row["winner"] for row in rows if row["winner"] is not None), None)
    for place, row in enumerate(rows):
        if winner in order and winner in row["seeds"]:
            at = order.index(winner)
            layout["shapes"].append({
                "type": "rect", "x0": at - 0.5, "x1": at + 0.5, "y0": place - 0.5, "y1": place + 0.5, "xref": "x", "yref": "y",
                "line": {"color": "@accent", "width": 3}, "fillcolor": "@accent/0.0", "layer": "above",
            })  # fmt: skip
    layout["meta"]["pw"]["alt"] = _alt(head, rows, winner)
    return figure


def _rows(record: Record) -> list[dict[str, Any]]:
    """One row a stage with its seeds, pixels, scores and who stays; the finished pool replaces the last stage's row."""
    scores = {info.step: values for info, values in kept(record, "board scores")}
    rows: list[dict[str, Any]] = []
    for info, pixels in kept(record, "board"):
        if info.step not in scores:
            continue
        seeds = [int(n) for n in coordinates(info, 0)]
        stays = scores[info.step][:, 1] > 0.5
        label = f"step {number(info.step)}"
        rows.append(
            {
                "label": label,
                "seeds": seeds,
                "pixels": pixels,
                "score": scores[info.step][:, 0],
                "stays": stays,
                "winner": None,
            }
        )
    done, told = newest(record, "finished"), newest(record, "finished scores")
    if rows and done and told:
        seeds = list(range(len(done[1])))
        won = told[1][:, 1] > 0.5
        raced = set(rows[-1]["seeds"])
        stays = np.array([n in raced for n in seeds])
        rows[-1] = {
            "label": "finished", "seeds": seeds, "pixels": done[1], "score": told[1][:, 0], "stays": stays,
            "winner": int(np.flatnonzero(won)[0]) if won.any() else None,
        }  # fmt: skip
    return rows


def _order(rows: list[dict[str, Any]]) -> list[int]:
    """Seeds: who came furthest first, then by score in the last row where they raced."""
    key: dict[int, tuple[float, ...]] = {}
    for place, row in enumerate(rows):
        for at, seed in enumerate(row["seeds"]):
            if row["winner"] is not None and not row["stays"][at]:
                continue
            won = 1.0 if row["winner"] == seed else 0.0
            key[seed] = (place + float(row["stays"][at]), won, float(row["score"][at]))
    return sorted(key, key=lambda seed: key[seed], reverse=True)


def _composite(rows: list[dict[str, Any]], order: list[int], side: int) -> str:
    """All cells as one PNG with transparent gaps, as a data address."""
    from PIL import Image

    pitch = side + GAP
    sheet = np.zeros((len(rows) * pitch, len(order) * pitch, 4), dtype=np.uint8)
    for place, row in enumerate(rows):
        where = {seed: at for at, seed in enumerate(row["seeds"])}
        for column, seed in enumerate(order):
            if seed not in where:
                continue
            cell = _fitted(row["pixels"][where[seed]], side)
            if not row["stays"][where[seed]]:
                grey = cell.astype(np.float64).mean(-1, keepdims=True)
                cell = np.repeat(np.round(0.3 * grey + 0.7 * 150), 3, axis=-1).astype(np.uint8)
            top, left = place * pitch + GAP // 2, column * pitch + GAP // 2
            sheet[top : top + side, left : left + side, :3] = cell
            sheet[top : top + side, left : left + side, 3] = 255
    file = io.BytesIO()
    Image.fromarray(sheet, "RGBA").save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _fitted(pixels: Pixels, side: int) -> Pixels:
    """A cell [H, W, 3] at `side` pixels, by averages where it shrinks."""
    size = pixels.shape[0]
    if size % side == 0 and size != side:
        k = size // side
        return pixels.reshape(side, k, side, k, 3).mean((1, 3)).round().astype(np.uint8)
    if size == side:
        return pixels
    at = np.arange(side) * size // side
    return np.ascontiguousarray(pixels[at][:, at])


def _hover(rows: list[dict[str, Any]], order: list[int]) -> dict[str, Any]:
    """Invisible dots that say a cell's seed, score and fate."""
    xs, ys, texts = [], [], []
    for place, row in enumerate(rows):
        where = {seed: at for at, seed in enumerate(row["seeds"])}
        kind = "final reward" if row["winner"] is not None or row["label"] == "finished" else "prediction"
        for column, seed in enumerate(order):
            if seed in where:
                at = where[seed]
                fate = "won" if row["winner"] == seed else "stays" if row["stays"][at] else "cut"
                xs.append(column)
                ys.append(place)
                texts.append(
                    f"seed {seed}, {words(row['label'])}<br>{kind} <b>{number(float(row['score'][at]))}</b>, {fate}"
                )
    return {
        "type": "scatter", "uid": "cells", "mode": "markers", "x": xs, "y": ys, "text": texts, "name": "",
        "hovertemplate": "%{text}<extra></extra>", "marker": {"size": 18, "opacity": 0}, "showlegend": False,
    }  # fmt: skip


def _alt(head: Head, rows: list[dict[str, Any]], winner: int | None) -> str:
    parts = [
        f"{row['label']}: {int(np.sum(row['stays']))} of {len(row['seeds'])} stay"
        for row in rows
        if row["winner"] is None
    ]
    end = f" Seed {winner} won." if winner is not None else ""
    return f"{head.title}. {'; '.join(parts)}.{end}"

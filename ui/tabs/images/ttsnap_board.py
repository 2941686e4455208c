"""The survival board of TTSnap: cuts as rows, seeds as columns, each cell a picture with its score, what was cut in grey; above
them a row that follows a slider over the steps."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from storage import Record
from ui.figures import Axis, Figure, Head, empty, number, words
from ui.figures.template import frame
from ui.tabs.images.ttsnap_race import Cell, Pixels, Row, decimals, film_of, looks_of, order_of, rows_of

MOST_COLUMNS = 48
WIDE_COLUMNS, NARROW_COLUMNS = 30, 10
"""Seeds that a page and a phone show at once, so that scores can be read; both drag to the others."""
WIDE_PX, TALLEST_PX = 905, 64
GAP = 2
"""Columns and rows of paper between cells, in image pixels."""
ROW = 1.55
"""Height of a row, in widths of a column: a picture and its score."""
SCORE_AT = 0.8
PARTED = 0.3
"""Between the row of the slider and those of the cuts."""
FILM_SIDE, BOARD_SIDE, LARGE_SIDE = 32, 32, 64
COLOURS = 96


def board(record: Record, head: Head) -> Figure:
    """Rows: the seeds at the step of the slider, at each cut, and once all are drawn, finished. Columns: seeds, in the order in
    which they stayed longest; grey was cut there, the frame is the winner."""
    x, y = Axis("seeds, longest in the race first"), Axis()
    rows = rows_of(record)
    if not rows:
        return empty(head, "", x, y)
    order = order_of(rows)[:MOST_COLUMNS]
    film = film_of(rows, looks_of(record))
    places = [ROW + PARTED + place * ROW for place in range(len(rows))]
    figure = frame(head, x, y)
    side = BOARD_SIDE if len(order) > 16 else LARGE_SIDE
    digits = decimals(rows)
    for row, at in zip(rows, places, strict=True):
        figure["data"].append(_image(f"board-{row.step:g}", row, order, side, at))
    figure["data"] += _scores("score", list(zip(rows, places, strict=True)), order, digits)
    figure["data"].append(_hover(list(zip(rows, places, strict=True)), order))
    still = len(figure["data"])
    frames = []
    for shown in film:
        moving = [
            _image("film", shown, order, FILM_SIDE, 0.0),
            *_scores("film-score", [(shown, 0.0)], order, digits),
        ]
        ticks = _ticks(shown, rows, places)
        frames.append({
            "name": number(shown.step), "data": [*range(still), *moving], "layout": {"yaxis": {**_y_axis(figure, places), **ticks}},
        })  # fmt: skip
    figure["data"] += frames[-1]["data"][still:]
    _lay_out(figure, order, rows, places)
    figure["layout"]["yaxis"] = frames[-1]["layout"]["yaxis"]
    if len(frames) > 1:
        figure["frames"] = frames
        figure["layout"]["meta"]["pw"]["frames"] = {"label": "step", "names": [one["name"] for one in frames]}
    figure["layout"]["meta"]["pw"]["alt"] = _alt(head, rows)
    return figure


def _lay_out(figure: Figure, order: list[int], rows: list[Row], places: list[float]) -> None:
    layout = figure["layout"]
    layout["hovermode"] = "closest"
    layout["margin"].update(l=86)
    shown = min(len(order), WIDE_COLUMNS)
    layout["xaxis"].update(
        range=[-0.5, shown - 0.5], showgrid=False, tickmode="array", tickvals=list(range(len(order))),
        ticktext=[str(seed) for seed in order], ticks="", tickangle=0,
    )  # fmt: skip
    # image traces keep their pixels square: as tall as the cells of a wide page are
    height = (places[-1] + ROW) * min(TALLEST_PX, WIDE_PX / shown)
    layout["height"] = round(78 + height)
    pw = layout["meta"]["pw"]
    pw["height"] = layout["height"]
    if len(order) > WIDE_COLUMNS:
        layout["dragmode"] = "pan"
        layout["xaxis"]["title"]["text"] += f"; drag for the other {len(order) - WIDE_COLUMNS}"
    if len(order) > NARROW_COLUMNS:
        pw["narrow_x"] = [-0.5, NARROW_COLUMNS - 0.5]
    winner = rows[-1].winner
    if winner not in order:
        return
    at = order.index(winner)
    for row, place in zip(rows, places, strict=True):
        if winner in row.cells:
            layout["shapes"].append({
                "type": "rect", "x0": at - 0.5, "x1": at + 0.5, "y0": place - 0.5, "y1": place + 0.5, "xref": "x", "yref": "y",
                "line": {"color": "@accent", "width": 3}, "fillcolor": "@accent/0.0", "layer": "above",
            })  # fmt: skip


def _y_axis(figure: Figure, places: list[float]) -> dict[str, Any]:
    return {
        **figure["layout"]["yaxis"], "range": [places[-1] + ROW - 0.5, -0.5], "showgrid": False, "ticks": "", "fixedrange": True,
        "tickmode": "array",
    }  # fmt: skip


def _ticks(shown: Row, rows: list[Row], places: list[float]) -> dict[str, Any]:
    labels = [f"<b>step {number(shown.step)}</b>", *(words(row.label) for row in rows)]
    return {"tickvals": [0.0, *places], "ticktext": labels}


def _image(uid: str, row: Row, order: list[int], side: int, at: float) -> dict[str, Any]:
    """The pictures of a row as one image whose middle line lies at `at`."""
    step = 1 / (side + GAP)
    return {
        "type": "image", "uid": uid, "source": _strip(row, order, side), "x0": -0.5 + step / 2, "y0": at - 0.5 + step / 2, "dx": step,
        "dy": step, "hoverinfo": "skip", "name": "",
    }  # fmt: skip


def _strip(row: Row, order: list[int], side: int) -> str:
    """All cells of a row as a PNG with transparent gaps and few colours, as a data address."""
    from PIL import Image

    pitch = side + GAP
    sheet = np.zeros((pitch, len(order) * pitch, 4), dtype=np.uint8)
    for column, seed in enumerate(order):
        if seed in row.cells:
            left = column * pitch + GAP // 2
            sheet[GAP // 2 : GAP // 2 + side, left : left + side, :3] = _drawn(row.cells[seed], side)
            sheet[GAP // 2 : GAP // 2 + side, left : left + side, 3] = 255
    file = io.BytesIO()
    few = Image.fromarray(sheet, "RGBA").quantize(COLOURS, Image.Quantize.FASTOCTREE)
    few.save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def _drawn(cell: Cell, side: int) -> Pixels:
    """The picture of a cell at `side` pixels, grey and pale where it was cut."""
    pixels = _fitted(cell.pixels, side)
    if cell.stays:
        return pixels
    grey = pixels.astype(np.float64).mean(-1, keepdims=True)
    return np.repeat(np.round(0.3 * grey + 0.7 * 150), 3, axis=-1).astype(np.uint8)


def _fitted(pixels: Pixels, side: int) -> Pixels:
    """A picture [H, W, 3] at `side` pixels, by averages where it shrinks."""
    size = pixels.shape[0]
    if size % side == 0 and size != side:
        k = size // side
        return pixels.reshape(side, k, side, k, 3).mean((1, 3)).round().astype(np.uint8)
    if size == side:
        return pixels
    at = np.arange(side) * size // side
    return np.ascontiguousarray(pixels[at][:, at])


def _scores(uid: str, placed: list[tuple[Row, float]], order: list[int], digits: int) -> list[dict[str, Any]]:
    """The score under each picture, muted where the seed was cut."""
    traces = []
    for stays, colour in ((True, "@ink"), (False, "@muted")):
        found = [
            (column, at + SCORE_AT, f"{row.cells[seed].score:.{digits}f}")
            for row, at in placed
            for column, seed in enumerate(order)
            if seed in row.cells and row.cells[seed].stays is stays
        ]
        xs, ys, texts = zip(*found, strict=True) if found else ((), (), ())
        traces.append({
            "type": "scatter", "uid": f"{uid}-{'stays' if stays else 'cut'}", "mode": "text", "x": list(xs), "y": list(ys),
            "text": list(texts), "textposition": "middle center", "textfont": {"size": 10, "color": colour}, "hoverinfo": "skip",
            "name": "", "showlegend": False, "cliponaxis": True,
        })  # fmt: skip
    return traces


def _hover(placed: list[tuple[Row, float]], order: list[int]) -> dict[str, Any]:
    """Invisible dots that say a cell's seed, score and fate."""
    xs, ys, texts = [], [], []
    for row, at in placed:
        kind = "final reward" if row.is_end else "prediction"
        for column, seed in enumerate(order):
            if seed in row.cells:
                cell = row.cells[seed]
                fate = "won" if row.winner == seed else "stays" if cell.stays else "cut"
                xs.append(column)
                ys.append(at)
                texts.append(f"seed {seed}, {words(row.label)}<br>{kind} <b>{number(cell.score)}</b>, {fate}")
    return {
        "type": "scatter", "uid": "cells", "mode": "markers", "x": xs, "y": ys, "text": texts, "name": "",
        "hovertemplate": "%{text}<extra></extra>", "marker": {"size": 18, "opacity": 0}, "showlegend": False,
    }  # fmt: skip


def _alt(head: Head, rows: list[Row]) -> str:
    parts = [
        f"{row.label}: {sum(cell.stays for cell in row.cells.values())} of {len(row.cells)} stay"
        for row in rows
        if not row.is_end
    ]
    end = f" Seed {rows[-1].winner} won." if rows[-1].winner is not None else ""
    return f"{head.title}. {'; '.join(parts)}.{end}"

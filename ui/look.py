"""The colours and stylesheets of the product, without Gradio: the page's theme and exported reports share them.

Colours come from the one palette of the figures (ui/figures/palette.py), so that a line in a plot and a
button beside it have the same blue."""

from __future__ import annotations

from pathlib import Path

from ui.figures.palette import SCHEMES, Scheme

STATIC = Path(__file__).parent / "static"
PAGE: dict[Scheme, str] = {"light": "#f6f7f8", "dark": "#0f1216"}
"""Behind the surfaces; the surface itself is the palette's paper, on which figures stand."""

TONES: dict[Scheme, dict[str, str]] = {
    "light": {
        "accent-soft": "#e9f0fc",
        "accent-hover": "#184fb0",
        "on-accent": "#ffffff",
        "good": "#00704f",
        "bad": "#b3341f",
        "bad-soft": "#fdf0ed",
        "warn": "#8a5600",
        "warn-soft": "#fdf5e6",
        "edge": "#8b94a0",
        "shade": "rgba(20, 24, 32, 0.10)",
    },
    "dark": {
        "accent-soft": "#1b2a42",
        "accent-hover": "#8fbcff",
        "on-accent": "#0c1422",
        "good": "#35c398",
        "bad": "#ff8d7a",
        "bad-soft": "#33201d",
        "warn": "#ffcf70",
        "warn-soft": "#2e2718",
        "edge": "#6b7683",
        "shade": "rgba(0, 0, 0, 0.45)",
    },
}
"""What a page needs besides the palette of figures. `edge` is the border of controls (3:1 on the surface)."""


def variables(scheme: Scheme) -> str:
    """The --wb-* variables of a scheme, as CSS declarations."""
    palette = SCHEMES[scheme]
    values = {**palette, **TONES[scheme], "surface": palette["paper"], "page": PAGE[scheme]}
    return "".join(f"--wb-{name}: {colour}; " for name, colour in values.items()) + f"color-scheme: {scheme};"


def stylesheet(name: str) -> str:
    """One of our stylesheets by its file name."""
    return (STATIC / "css" / name).read_text("utf-8")

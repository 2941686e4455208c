"""The look: a Gradio theme with every variable set, the page's stylesheet, script and head.

Colours come from the one palette of the figures (ui/figures/palette.py), so that a line in a plot and a
button beside it have the same blue. Fonts are files of this package; nothing is fetched from elsewhere.
"""

from __future__ import annotations

import hashlib
import inspect
from functools import cache

import gradio as gr

from ui import look
from ui.figures.palette import SCHEMES, Scheme
from ui.look import PAGE, STATIC

STYLES = ("base.css", "shell.css", "home.css", "form.css", "live.css", "library.css", "gradio.css")
SCRIPTS = (
    "core.js",
    "sweep.js",
    "phrases.js",
    "form.js",
    "drops.js",
    "live.js",
    "pictures.js",
    "library.js",
)


def variables() -> str:
    """The --wb-* variables of both schemes as CSS."""
    selectors: dict[Scheme, str] = {
        "light": ":root, body",
        "dark": ":root.dark, body.dark, body.dark .gradio-container",
    }
    return "\n".join(f"{selector} {{ {look.variables(scheme)} }}" for scheme, selector in selectors.items())


@cache
def styles() -> str:
    """The page's whole stylesheet: variables, our files in order, the figures' own."""
    from ui import figures

    parts = [variables(), *map(look.stylesheet, STYLES), figures.styles()]
    return "\n".join(parts)


@cache
def script() -> str:
    """The page's whole script: the figures' renderer and ours, one file, no module loader."""
    from ui import figures

    return "\n".join([figures.script(), *((STATIC / "js" / name).read_text("utf-8") for name in SCRIPTS)])


@cache
def script_tag() -> str:
    """Loads the script; its address changes with its content, so that it may be cached for ever."""
    return f'<script src="wb/page.js?v={_digest(script())}"></script>'


def head() -> str:
    """What goes into the page's head: the icon, the description, fonts early, and the reader's colour scheme
    before the first paint of the page."""
    text = "wb/fonts/source-sans-3-latin-wght-normal.woff2"
    fonts = f'<link rel="preload" as="font" type="font/woff2" crossorigin href="{text}">'
    early = f'<link rel="preload" as="script" href="wb/page.js?v={_digest(script())}">'
    return (
        f'{early}<link rel="icon" type="image/svg+xml" href="wb/icon.svg">'
        '<meta name="description" content="Machine-learning papers that run: a method beside its baselines, live.">'
        f"{fonts}"
        # A page that was asked for by address does not show Home first.
        "<script>if (/[?&](run|engine|compare|view)=/.test(location.search)) document.documentElement.dataset.arriving = '1';"
        # A run's page draws at once, so plotly is fetched beside Gradio's own files and not after them.
        " if (/[?&](run|compare)=/.test(location.search)) document.head.append(Object.assign("
        "document.createElement('link'), {rel: 'preload', as: 'script', href: 'wb/plotly.min.js'}));"
        " try { const chosen = localStorage.getItem('wb-scheme');"
        " if (chosen) document.body.classList.toggle('dark', chosen === 'dark'); } catch (refused) {"
        " console.info('This browser keeps no settings for this page.'); }</script>"
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def theme() -> gr.themes.Base:
    """The Gradio theme: Base with every variable of ours."""
    text = ("Source Sans 3", "ui-sans-serif", "system-ui", "sans-serif")
    mono = ("JetBrains Mono", "ui-monospace", "SFMono-Regular", "monospace")
    made = gr.themes.Base(
        font=[gr.themes.Font(name) for name in text],
        font_mono=[gr.themes.Font(name) for name in mono],
        text_size=gr.themes.Size(
            name="wb", xxs="11px", xs="12px", sm="13px", md="15px", lg="16px", xl="20px", xxl="24px"
        ),
        spacing_size=gr.themes.Size(
            name="wb", xxs="1px", xs="2px", sm="4px", md="6px", lg="8px", xl="10px", xxl="16px"
        ),
        radius_size=gr.themes.Size(
            name="wb", xxs="2px", xs="3px", sm="4px", md="6px", lg="6px", xl="8px", xxl="10px"
        ),
    )
    made.name = "paper-workbench"
    # Not `css=`: Gradio prefixes every selector of that with its container, and :root, dialog and @font-face
    # stop working. The theme's stylesheet is loaded as it is, and before the page is shown.
    made.custom_css = styles()
    return made.set(**_surfaces(), **_controls(), **_buttons())


def _both(names: str, value: str) -> dict[str, str]:
    """One value for several variables in both schemes: the --wb-* variables themselves follow the scheme."""
    settable = inspect.signature(gr.themes.Base.set).parameters
    wanted = [f"{name}{ending}" for name in names.split() for ending in ("", "_dark")]
    return {name: value for name in wanted if name in settable}


def _surfaces() -> dict[str, str]:
    return {
        # Plain colours here: the first paint comes before the variables are there.
        "body_background_fill": PAGE["light"],
        "body_background_fill_dark": PAGE["dark"],
        "body_text_color": SCHEMES["light"]["ink"],
        "body_text_color_dark": SCHEMES["dark"]["ink"],
        **_both("background_fill_secondary", "var(--wb-page)"),
        **_both(
            "background_fill_primary block_background_fill panel_background_fill stat_background_fill "
            "table_even_background_fill table_odd_background_fill block_label_background_fill",
            "var(--wb-surface)",
        ),
        **_both("block_title_text_color accordion_text_color table_text_color", "var(--wb-ink)"),
        **_both("body_text_color_subdued block_info_text_color block_label_text_color", "var(--wb-muted)"),
        **_both(
            "border_color_primary block_border_color panel_border_color table_border_color", "var(--wb-grid)"
        ),
        **_both("block_label_border_color", "transparent"),
        **_both("color_accent_soft table_row_focus code_background_fill", "var(--wb-accent-soft)"),
        **_both("border_color_accent border_color_accent_subdued loader_color", "var(--wb-accent)"),
        **_both(
            "link_text_color link_text_color_active link_text_color_hover link_text_color_visited",
            "var(--wb-accent)",
        ),
        **_both("error_background_fill", "var(--wb-bad-soft)"),
        **_both("error_border_color error_text_color error_icon_color", "var(--wb-bad)"),
        **_both("block_shadow block_title_background_fill", "none"),
        **_both("block_border_width panel_border_width block_label_border_width", "0px"),
        **_both("block_title_border_width", "0px"),
        **_both("block_title_border_color", "transparent"),
        "color_accent": "var(--wb-accent)",
        "shadow_drop": "none",
        "shadow_drop_lg": "0 8px 30px var(--wb-shade)",
        "shadow_inset": "none",
        **_both("shadow_spread", "0px"),
        "block_label_shadow": "none",
        "block_padding": "0",
        "block_radius": "6px",
        "container_radius": "6px",
        "embed_radius": "0",
        "block_title_text_size": "*text_sm",
        "block_title_text_weight": "600",
        "block_label_text_size": "*text_sm",
        "block_label_text_weight": "600",
        "block_info_text_size": "*text_sm",
        "prose_text_size": "*text_md",
        "prose_header_text_weight": "600",
        "section_header_text_weight": "600",
        "section_header_text_size": "*text_md",
        "form_gap_width": "0px",
        "layout_gap": "16px",
        "chatbot_text_size": "*text_md",
        "table_radius": "6px",
    }


def _controls() -> dict[str, str]:
    label = "checkbox_label"
    return {
        **_both(
            "input_background_fill input_background_fill_focus input_background_fill_hover "
            "checkbox_background_color checkbox_background_color_focus checkbox_background_color_hover",
            "var(--wb-surface)",
        ),
        **_both("input_border_color checkbox_border_color", "var(--wb-line)"),
        **_both("input_border_color_hover checkbox_border_color_hover", "var(--wb-edge)"),
        **_both(
            "input_border_color_focus checkbox_border_color_focus checkbox_border_color_selected "
            "checkbox_background_color_selected slider_color",
            "var(--wb-accent)",
        ),
        **_both("input_border_width checkbox_border_width", "1px"),
        **_both("input_placeholder_color", "var(--wb-muted)"),
        **_both("input_shadow checkbox_shadow", "none"),
        **_both("input_shadow_focus", "0 0 0 3px var(--wb-accent-soft)"),
        "input_padding": "7px 10px",
        "input_radius": "6px",
        "input_text_size": "*text_md",
        **_both(f"{label}_background_fill {label}_background_fill_hover", "transparent"),
        **_both(f"{label}_background_fill_selected", "var(--wb-accent-soft)"),
        **_both(f"{label}_border_color {label}_border_color_hover", "var(--wb-line)"),
        **_both(f"{label}_border_color_selected", "var(--wb-accent)"),
        **_both(f"{label}_border_width", "1px"),
        **_both(f"{label}_shadow {label}_shadow_hover {label}_shadow_active", "none"),
        **_both(f"{label}_text_color {label}_text_color_selected", "var(--wb-ink)"),
        "checkbox_border_radius": "3px",
        f"{label}_padding": "5px 10px",
        f"{label}_gap": "8px",
        f"{label}_text_size": "*text_sm",
    }


def _buttons() -> dict[str, str]:
    made: dict[str, str] = {"button_transition": "background-color 0.12s, border-color 0.12s, color 0.12s"}
    for size, padding in (("large", "8px 18px"), ("medium", "6px 14px"), ("small", "4px 10px")):
        made[f"button_{size}_padding"] = padding
        made[f"button_{size}_radius"] = "6px"
        made[f"button_{size}_text_size"] = "*text_sm" if size == "small" else "*text_md"
        made[f"button_{size}_text_weight"] = "600"
    made.update(_both("button_border_width", "1px"))
    for kind, fill, hover, edge, text in (
        ("primary", "var(--wb-accent)", "var(--wb-accent-hover)", "transparent", "var(--wb-on-accent)"),
        ("secondary", "var(--wb-surface)", "var(--wb-accent-soft)", "var(--wb-line)", "var(--wb-ink)"),
        ("cancel", "var(--wb-surface)", "var(--wb-bad-soft)", "var(--wb-bad)", "var(--wb-bad)"),
    ):
        at = f"button_{kind}"
        made.update(_both(f"{at}_background_fill", fill))
        made.update(_both(f"{at}_background_fill_hover", hover))
        made.update(_both(f"{at}_border_color {at}_border_color_hover", edge))
        made.update(_both(f"{at}_text_color {at}_text_color_hover", text))
        made.update(_both(f"{at}_shadow {at}_shadow_hover {at}_shadow_active", "none"))
    return made

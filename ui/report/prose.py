"""About texts for a file without scripts: Markdown as HTML, formulas as MathML.

Nothing in the text can become markup of its own: raw HTML stays text, and of a formula only MathML's elements and
harmless attributes are kept."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ElementTree
from typing import Any

MATH = re.compile(r"(?P<code>```.*?```|`[^`\n]*`)|\$\$(?P<block>.+?)\$\$|\$(?P<inline>[^$\n]+?)\$", re.DOTALL)
MARK = "\ue000{}\ue001"
MARKED = re.compile("(?:<p>)?\ue000(\\d+)\ue001(?:</p>)?")
NAMESPACE = "http://www.w3.org/1998/Math/MathML"
ATTRIBUTES = frozenset(
    [
        "display",
        "mathvariant",
        "stretchy",
        "fence",
        "form",
        "lspace",
        "rspace",
        "separator",
        "minsize",
        "maxsize",
        "largeop",
        "movablelimits",
        "accent",
        "accentunder",
        "linethickness",
        "displaystyle",
        "scriptlevel",
        "columnalign",
        "rowspacing",
        "columnspacing",
        "width",
        "height",
        "depth",
    ]
)


def prose(text: str) -> str:
    """Markdown with `$...$` and `$$...$$` as HTML; headings start at the third level."""
    from markdown_it import MarkdownIt

    formulas: list[str] = []

    def keep(found: re.Match[str]) -> str:
        if found["code"]:
            return found["code"]
        formulas.append(formula(found["block"] or found["inline"], is_block=bool(found["block"])))
        return MARK.format(len(formulas) - 1)

    source = MATH.sub(keep, text.replace("\ue000", "").replace("\ue001", ""))
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    parser.add_render_rule("heading_open", _lowered)
    parser.add_render_rule("heading_close", _lowered)
    return MARKED.sub(lambda found: _placed(found, formulas), str(parser.render(source)))


def _placed(found: re.Match[str], formulas: list[str]) -> str:
    """A formula in its place; a paragraph that holds nothing but a displayed one is that formula."""
    made = formulas[int(found[1])]
    if 'display="block"' in made[:200] and found[0].startswith("<p>") and found[0].endswith("</p>"):
        return made
    return found[0].replace(MARK.format(found[1]), made)


def _lowered(renderer: Any, tokens: Any, index: int, options: Any, env: Any) -> str:
    token = tokens[index]
    level = min(6, int(token.tag[1]) + 1)
    return f"</h{level}>\n" if token.nesting < 0 else f"<h{level}>"


def formula(source: str, *, is_block: bool = False) -> str:
    """A LaTeX formula as MathML, with its source for readers who copy it; as code where it is not understood."""
    from latex2mathml.converter import convert_to_element

    try:
        # The one name that is in use here and unknown there.
        known = re.sub(r"\\arg(?![a-zA-Z])", r"\\operatorname{arg}", source)
        math = convert_to_element(known, display="block" if is_block else "inline")
    except Exception:  # the converter has no common error: whatever it meets, the source is still readable
        return f"<code>{html.escape(source)}</code>"
    _cleaned(math)
    math.set("aria-label", source.strip())
    return ElementTree.tostring(math, encoding="unicode", short_empty_elements=False)


def _cleaned(math: ElementTree.Element) -> None:
    """Only MathML's own elements with attributes that cannot do anything; entities become their characters."""
    for element in math.iter():
        if not re.fullmatch(r"m[a-z]+", element.tag):
            element.tag = "mtext"
        element.attrib = {name: value for name, value in element.attrib.items() if name in ATTRIBUTES}
        element.text = html.unescape(element.text) if element.text else element.text
        element.tail = html.unescape(element.tail) if element.tail else element.tail
    math.set("xmlns", NAMESPACE)

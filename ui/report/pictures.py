"""Pictures inside a report: data URIs, and strips over the steps, thinned so that the file stays small."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from html import escape

from storage import PictureInfo
from ui.figures import evenly
from ui.live_words import number, title
from ui.views import PictureLayout, Strip

MOST_FRAMES = 10
MOST_BYTES = 1_500_000
_ARTIFACT = re.compile(r'src="wb/artifact/([0-9a-f]{64})"')
_INSIDE = re.compile(r'<a\b[^>]*\bhref="(?:\?|wb/)[^"]*"[^>]*>(.*?)</a>', re.DOTALL)

Read = Callable[[str], bytes]


def data_uri(data: bytes) -> str:
    """The bytes of a PNG as an address."""
    return f"data:image/png;base64,{base64.b64encode(data).decode('ascii')}"


def alone(markup: str, read: Read) -> str:
    """The page's own markup without the page: pictures become data, links into the workbench plain text."""
    return _ARTIFACT.sub(lambda found: f'src="{data_uri(read(found[1]))}"', _INSIDE.sub(r"\1", markup))


def pictures(found: Sequence[PictureInfo], layout: PictureLayout, read: Read) -> str:
    """All strips in the layout's order. Once `MOST_BYTES` are used up, a strip shows its newest frame only."""
    room, blocks = MOST_BYTES, []
    for strip in layout.arrange(found):
        shown = list(evenly(strip.frames, MOST_FRAMES)) if room > 0 else [strip.newest]
        if strip.before is not None:
            shown.insert(0, strip.before)
        files = [(frame, read(frame.hash)) for frame in shown]
        room -= sum(len(data) for _, data in files)
        blocks.append(_strip(strip, layout, files))
    return (
        f'<h2>{escape(layout.title)}</h2><section class="wb-block">{"".join(blocks)}</section>'
        if blocks
        else ""
    )


def _strip(strip: Strip, layout: PictureLayout, files: Sequence[tuple[PictureInfo, bytes]]) -> str:
    crisp = ' class="wb-pixels"' if layout.pixelated else ""
    frames = "".join(
        f'<figure><img{crisp} src="{data_uri(data)}" alt="{escape(_words(strip, frame))}">'
        f"<figcaption>{escape(_under(strip, frame, layout))}</figcaption></figure>"
        for frame, data in files
    )
    left = len(strip.frames) + (strip.before is not None) - len(files)
    more = f'<p class="wb-help">{left} more frames are in the record.</p>' if left else ""
    caption = f'<p class="wb-help">{escape(strip.newest.caption)}</p>' if strip.newest.caption else ""
    return f'<h3>{escape(title(strip.label))}</h3>{caption}<div class="wb-film">{frames}</div>{more}'


def _words(strip: Strip, frame: PictureInfo) -> str:
    return f"{strip.label}: {frame.caption}" if frame.caption else strip.label


def _under(strip: Strip, frame: PictureInfo, layout: PictureLayout) -> str:
    if strip.before is not None and frame is strip.before:
        return "at first"
    return f"{layout.step} {number(frame.step)}" if len(strip.frames) > 1 or strip.before else ""

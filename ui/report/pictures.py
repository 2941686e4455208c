"""Pictures inside a report: data URIs, and strips over the steps, thinned so that the file stays small."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Sequence
from html import escape

from storage import PictureInfo
from ui.figures import evenly
from ui.live_words import number, title
from ui.views import PictureLayout, Strip

PNG = b"\x89PNG"
MOST_FRAMES = 10
MOST_BYTES = 1_500_000
LARGE = 48 << 10
"""A PNG of more bytes than that travels as WebP: a report of photographs would be larger than a mail may be."""
SMALL = 12 << 10
"""The same where pictures are scaled down, since there are many of them."""
QUALITY = 85
MOST_WEBP = 16383
"""Pixels a side that WebP can have."""
PACKED = "Large pictures are compressed in this file; the record holds them as they were made."
SIDES = (0, 512, 256, 128)
"""How far pictures are scaled down for room's sake, in pixels a side; 0 as they are."""
_IMAGE = re.compile(r'<img\b[^>]*\bsrc="wb/artifact/([0-9a-f]{64})"[^>]*>')
_INSIDE = re.compile(r'<a\b[^>]*\bhref="(?:\?|wb/)[^"]*"[^>]*>(.*?)</a>', re.DOTALL)

Read = Callable[[str], bytes]


def data_uri(data: bytes) -> str:
    """The bytes of a PNG or WebP as an address."""
    kind = "png" if data.startswith(PNG) else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def light(data: bytes, side: int = 0) -> bytes:
    """The same PNG, or where it is large a smaller WebP; with `side` scaled down to at most that many pixels a side."""
    if len(data) <= (SMALL if side else LARGE):
        return data
    from PIL import Image

    made = io.BytesIO()
    with Image.open(io.BytesIO(data), formats=("PNG",)) as opened:
        picture: Image.Image = opened
        if side and max(picture.size) > side:
            picture = picture.convert("RGB")
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        if max(picture.size) > MOST_WEBP:
            return data
        picture.save(made, "WEBP", quality=QUALITY, method=4)
    return made.getvalue() if made.tell() < len(data) else data


def alone(markup: str, read: Read, sides: Sequence[int] = SIDES) -> str:
    """The page's own markup without the page: links into the workbench become plain text and pictures data, all within
    `MOST_BYTES`: scaled down to the first of `sides` that fits (0: as they are), the last ones left out where none does."""
    text = _INSIDE.sub(r"\1", markup)
    wanted = list(dict.fromkeys(_IMAGE.findall(text)))
    packed: dict[str, bytes] = {}
    for side in sides:
        packed = _packed(wanted, read, side)
        if len(packed) == len(wanted):
            break
    left = 0

    def put(image: re.Match[str]) -> str:
        nonlocal left
        if image[1] not in packed:
            left += 1
            return ""
        return image[0].replace(f"wb/artifact/{image[1]}", data_uri(packed[image[1]]))

    made = _IMAGE.sub(put, text)
    is_packed = any(not data.startswith(PNG) for data in packed.values())
    note = f'<p class="wb-help">{PACKED}</p>' if is_packed else ""
    return made + note + (f'<p class="wb-help">{left} more pictures are in the record.</p>' if left else "")


def _packed(hashes: Sequence[str], read: Read, side: int) -> dict[str, bytes]:
    """These pictures by hash, as long as there is room for them."""
    packed: dict[str, bytes] = {}
    room = MOST_BYTES
    for content_hash in hashes:
        data = light(read(content_hash), side)
        room -= len(data)
        if room < 0:
            break
        packed[content_hash] = data
    return packed


def pictures(found: Sequence[PictureInfo], layout: PictureLayout, read: Read) -> str:
    """All strips in the layout's order, each with as many frames as `MOST_BYTES` leaves to all of them, and its newest."""
    strips = layout.arrange(found)
    packed: dict[str, bytes] = {}
    chosen: list[list[PictureInfo]] = []
    for most in (MOST_FRAMES, 6, 4, 2, 1):
        chosen = [_frames(strip, most) for strip in strips]
        for frame in (frame for frames in chosen for frame in frames):
            if frame.hash not in packed:
                packed[frame.hash] = light(read(frame.hash))
        if sum(len(packed[frame.hash]) for frames in chosen for frame in frames) <= MOST_BYTES:
            break
    if not strips:
        return ""
    blocks = [
        _strip(strip, layout, [(frame, packed[frame.hash]) for frame in frames])
        for strip, frames in zip(strips, chosen, strict=True)
    ]
    is_packed = any(not data.startswith(PNG) for data in packed.values())
    note = f'<p class="wb-help">{PACKED}</p>' if is_packed else ""
    return f'<h2>{escape(layout.title)}</h2><section class="wb-block">{note}{"".join(blocks)}</section>'


def _frames(strip: Strip, most: int) -> list[PictureInfo]:
    shown = list(evenly(strip.frames, most)) if most > 1 else [strip.newest]
    return shown if strip.before is None else [strip.before, *shown]


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

"""Every PNG of a run carries its record, so that dropping the picture on the workbench rebuilds the form.

The record is one JSON object in a compressed text chunk (zTXt) with the keyword `paper-workbench`:

    {"format": 1, "run": id, "engine": key, "params": {...}, "seed": n, "preset": name, "picture": name, "step": x}

Reading looks at chunk headers only: no pixel is decoded, and what a chunk may unpack to is bounded, so a
picture from anywhere is safe to look at.
"""

from __future__ import annotations

import io
import json
import math
import struct
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import NotOurPicture

KEYWORD = "paper-workbench"
FORMAT = 1
COMPRESSION = 2
"""zlib level of the pixels: 2 is several times as fast as the usual 6 and costs about a tenth in size."""

MAX_RECORD_BYTES = 4 << 20
MAX_CHUNKS = 200_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class PngRecord:
    """What made a picture: enough to fill the form and to find the run again."""

    run: str
    engine: str
    params: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    preset: str = ""
    picture: str = ""
    step: float = 0.0


def encode(pixels: NDArray[np.uint8], record: PngRecord) -> bytes:
    """PNG of `pixels` (uint8, H x W x 3) with `record` in it. Raises ValueError for other arrays."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(
            f"pixels must be uint8 of shape H x W x 3; got {pixels.dtype} of shape {pixels.shape}"
        )
    values = asdict(record)
    if not math.isfinite(record.step):
        values["step"] = None
    text = json.dumps({"format": FORMAT, **values}, allow_nan=False)
    info = PngInfo()
    info.add_text(KEYWORD, text, zip=True)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        buffer, "PNG", compress_level=COMPRESSION, pnginfo=info
    )
    return buffer.getvalue()


def decode(data: bytes) -> PngRecord:
    """The record in a PNG. Raises NotOurPicture, in one sentence, for anything without a sound one."""
    text = _find(data)
    try:
        values = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise NotOurPicture("The record in this picture is damaged: it is not JSON.") from error
    if not isinstance(values, dict) or type(values.get("format")) is not int:
        raise NotOurPicture("The record in this picture is damaged: it has no format number.")
    if values["format"] != FORMAT:
        raise NotOurPicture(
            f"This picture's record has format {values['format']}; this workbench reads format {FORMAT}."
        )
    kinds = {"run": str, "engine": str, "params": dict, "seed": int, "preset": str, "picture": str}
    for name, kind in kinds.items():
        if type(values.get(name)) is not kind:
            raise NotOurPicture(
                f"The record in this picture is damaged: its {name} is missing or of a wrong kind."
            )
    step = values.get("step")
    number = float(step) if isinstance(step, int | float) and not isinstance(step, bool) else math.nan
    return PngRecord(**{name: values[name] for name in kinds}, step=number)


def _find(data: bytes) -> str:
    """The text of our chunk."""
    if not data.startswith(_SIGNATURE):
        raise NotOurPicture("This file is not a PNG picture.")
    place = len(_SIGNATURE)
    for _ in range(MAX_CHUNKS):
        head = data[place : place + 8]
        if len(head) < 8:
            break
        (length,) = struct.unpack(">I", head[:4])
        kind = head[4:]
        if kind in (b"tEXt", b"zTXt") and data.startswith(KEYWORD.encode() + b"\0", place + 8):
            return _text(
                kind, data[place + 8 : place + 8 + length], data[place + 8 + length : place + 12 + length]
            )
        if kind == b"IEND":
            break
        place += 12 + length
    raise NotOurPicture("This picture carries no record of a run. Only pictures saved by this workbench do.")


def _text(kind: bytes, body: bytes, checksum: bytes) -> str:
    if zlib.crc32(kind + body).to_bytes(4, "big") != checksum:
        raise NotOurPicture("The record in this picture is damaged: its checksum is wrong.")
    value = body[len(KEYWORD) + 1 :]
    if kind == b"zTXt":
        unpacker = zlib.decompressobj()
        try:
            value = unpacker.decompress(value[1:], MAX_RECORD_BYTES)
        except zlib.error as error:
            raise NotOurPicture("The record in this picture is damaged: it cannot be unpacked.") from error
        if not unpacker.eof:
            raise NotOurPicture("The record in this picture is damaged or far too large.")
    if len(value) > MAX_RECORD_BYTES:
        raise NotOurPicture("The record in this picture is far too large.")
    return value.decode("latin-1")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"bare {name}")

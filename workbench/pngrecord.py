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
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import NotOurPicture
from workbench.pngchunks import text_chunks, unpack

KEYWORD = "paper-workbench"
FORMAT = 1
COMPRESSION = 2
"""zlib level of the pixels: 2 is several times as fast as the usual 6 and costs about a tenth in size."""


class NoRecord(NotOurPicture):
    """A sound PNG without a record of ours."""


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
    for keyword, kind, body, checksum in text_chunks(data):
        if keyword == KEYWORD and kind != b"iTXt":
            return unpack(keyword, kind, body, checksum)
    raise NoRecord(
        "This picture carries no record of a run. Pictures saved by this workbench do, and those of A1111, ComfyUI, "
        "Fooocus and InvokeAI where their record is switched on."
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"bare {name}")

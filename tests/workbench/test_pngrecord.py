import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from workbench.errors import NotOurPicture
from workbench.pngchunks import MAX_TEXT_BYTES
from workbench.pngrecord import KEYWORD, PngRecord, decode, encode

RECORD = PngRecord(
    "01abc", "fixture", {"rate": 0.1, "label": "näme ∞", "sizes": [1]}, 7, "smoke", "strip", 2.5
)
PIXELS = np.arange(8 * 5 * 3, dtype=np.uint8).reshape(8, 5, 3)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")


def picture(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def with_text(text: str) -> bytes:
    return picture(chunk(b"tEXt", KEYWORD.encode() + b"\0" + text.encode()))


def test_round_trip_and_pixels() -> None:
    data = encode(PIXELS, RECORD)
    assert decode(data) == RECORD
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(np.asarray(image), PIXELS)
        assert KEYWORD in image.info


def test_views_and_non_finite_steps() -> None:
    data = encode(PIXELS[::2, ::-1], PngRecord("a", "b", step=float("nan")))
    assert np.isnan(decode(data).step)


@pytest.mark.parametrize(
    "pixels",
    [PIXELS.astype(float), PIXELS[..., 0], PIXELS[..., :2], PIXELS[:0]],
    ids=["float", "flat", "two", "empty"],
)
def test_other_arrays_are_refused(pixels: Any) -> None:
    with pytest.raises(ValueError, match="uint8 of shape H x W x 3"):
        encode(pixels, RECORD)


def test_strangers_are_refused() -> None:
    plain = io.BytesIO()
    Image.fromarray(PIXELS).save(plain, "PNG")
    sound = encode(PIXELS, RECORD)
    cases = {
        "not a PNG": b"GIF89a",
        "no record": plain.getvalue(),
        "empty": picture(),
        "cut": sound[:60],
        "checksum": sound.replace(b"zTXt" + KEYWORD.encode() + b"\0\0", b"zTXt" + KEYWORD.encode() + b"\0\1"),
        "json": with_text("{"),
        "nan": with_text('{"format": NaN}'),
        "list": with_text("[1]"),
        "bool": with_text('{"format": true}'),
        "future": with_text('{"format": 2}'),
        "fields": with_text('{"format": 1, "run": "a"}'),
        "deep": with_text("[" * 100_000),
    }
    for name, data in cases.items():
        with pytest.raises(NotOurPicture) as caught:
            decode(data)
        assert caught.value.sentence.endswith("."), name
        assert caught.value.exit_code == 2


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zlib.compress(b"[" * (MAX_TEXT_BYTES + 10), 9)
    with pytest.raises(NotOurPicture, match="far too large"):
        decode(picture(chunk(b"zTXt", KEYWORD.encode() + b"\0\0" + bomb)))
    with pytest.raises(NotOurPicture, match="far too large"):
        decode(with_text(" " * (MAX_TEXT_BYTES + 1)))
    with pytest.raises(NotOurPicture, match="cannot be unpacked"):
        decode(picture(chunk(b"zTXt", KEYWORD.encode() + b"\0\0" + b"no zlib")))

"""The text chunks of a PNG, for a picture from anywhere: no pixel is decoded, and what is unpacked is bounded."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from workbench.errors import NotOurPicture

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 200_000
MAX_TEXT_BYTES = 4 << 20
TEXT_KINDS = (b"tEXt", b"zTXt", b"iTXt")


def text_chunks(data: bytes) -> Iterator[tuple[str, bytes, bytes, bytes]]:
    """Keyword, kind, body and checksum of each text chunk before IEND. Raises NotOurPicture for another file."""
    if not data.startswith(SIGNATURE):
        raise NotOurPicture("This file is not a PNG picture.")
    place = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        head = data[place : place + 8]
        if len(head) < 8 or head[4:] == b"IEND":
            return
        (length,) = struct.unpack(">I", head[:4])
        kind = head[4:]
        if kind in TEXT_KINDS:
            keyword, mark, _ = data[place + 8 : place + 8 + min(length, 80)].partition(b"\0")
            if mark:
                end = place + 8 + length
                yield keyword.decode("latin-1"), kind, data[place + 8 : end], data[end : end + 4]
        place += 12 + length


def unpack(keyword: str, kind: bytes, body: bytes, checksum: bytes) -> str:
    """The text of a chunk. Raises NotOurPicture, in one sentence, where it is damaged or far too large."""
    if zlib.crc32(kind + body).to_bytes(4, "big") != checksum:
        raise NotOurPicture("The record in this picture is damaged: its checksum is wrong.")
    value = body[len(keyword.encode("latin-1")) + 1 :]
    encoding, is_packed = "latin-1", kind == b"zTXt"
    if kind == b"zTXt":
        value = value[1:]  # the method: there is one
    elif kind == b"iTXt":
        # flag, method, language, translated keyword
        is_packed, encoding = value[:1] == b"\1", "utf-8"
        fields = value[2:].split(b"\0", 2)
        if len(fields) < 3:
            raise NotOurPicture("The record in this picture is damaged: a text chunk ends too soon.")
        value = fields[2]
    if is_packed:
        unpacker = zlib.decompressobj()
        try:
            value = unpacker.decompress(value, MAX_TEXT_BYTES)
        except zlib.error as error:
            raise NotOurPicture("The record in this picture is damaged: it cannot be unpacked.") from error
        if not unpacker.eof:
            raise NotOurPicture("The record in this picture is damaged or far too large.")
    if len(value) > MAX_TEXT_BYTES:
        raise NotOurPicture("The record in this picture is far too large.")
    return value.decode(encoding, errors="replace")

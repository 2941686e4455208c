"""What a stranger's file is looked at for before it is kept: is it what its name says, and what would it unpack to?

Nothing here decodes a picture, unpacks an archive or runs anything: headers and directories only."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
from collections.abc import Collection, Iterable
from pathlib import PurePosixPath
from typing import Any

from engines.contract import Engine, upload_fields
from workbench.errors import FileTrouble
from workbench.execution import safe_name

MAX_PIXELS = 16_000_000
MAX_UNPACKED_BYTES = 256 << 20
MAX_MEMBERS = 1000
MAX_RATIO = 200
MAX_LINE_BYTES = 1 << 20
MAX_LINES, MAX_VALUES = 120_000, 2_000_000
"""What a text may make its reader do: an engine takes some 20 microseconds for a line of questions and answers (100,000 lines
of six megabytes 2 s on one core of 2026), a parser of JSON a third of one for a value. Values are counted by what stands
between and around them."""
PICTURES = {
    ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF",
}  # fmt: skip
TEXTS = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".md"})
ARCHIVES = frozenset({".zip", ".npz"})
KINDS = frozenset({*PICTURES, *TEXTS, *ARCHIVES, ".npy", ".safetensors"})
"""The endings of files that can be looked at without reading them whole."""


def accepted_endings(engines: Iterable[Engine]) -> frozenset[str]:
    """The endings of files that some engine takes and that can be looked at before they are kept."""
    found: set[str] = set()
    for engine in engines:
        for name in upload_fields(engine.params):
            extra: Any = engine.params.model_fields[name].json_schema_extra or {}
            found.update(extra.get("accept", ()))
    return KINDS & found


def inspect(data: bytes, name: str, endings: Collection[str]) -> None:
    """Raises FileTrouble, in one sentence, for a file that is not of a kind that this place takes, is not what its
    name says, or would unpack to more than there is room for.

    Args:
        data: the whole file.
        name: its name as the sender says.
        endings: the endings that engines here accept, such as `.png`."""
    shown = safe_name(name)
    ending = PurePosixPath(shown).suffix.lower()
    if ending not in endings:
        words = ", ".join(sorted(endings)) or "no files at all"
        raise FileTrouble(f"This demo takes {words}; got {shown[:80]!r}.")
    if not data:
        raise FileTrouble(f"{shown[:80]} is empty.")
    if ending in PICTURES:
        _picture(data, shown, PICTURES[ending])
    elif ending in TEXTS:
        _text(data, shown)
    elif ending in ARCHIVES:
        _archive(data, shown)
    elif ending == ".npy":
        _array(data, shown)
    elif ending == ".safetensors":
        _safetensors(data, shown)
    else:
        raise FileTrouble(f"This demo cannot check files that end in {ending}; got {shown[:80]!r}.")


def _picture(data: bytes, shown: str, format: str) -> None:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large pictures; the limit below is lower
            with Image.open(io.BytesIO(data), formats=(format,)) as picture:
                width, height = picture.size
    except Image.DecompressionBombError as error:
        raise FileTrouble(
            f"{shown[:80]} has far more pixels than the {MAX_PIXELS // 1_000_000} million that this demo takes."
        ) from error
    except Exception as error:  # Pillow raises whatever a damaged header makes it raise
        raise FileTrouble(f"{shown[:80]} is not a {format} picture.") from error
    if width * height > MAX_PIXELS:
        raise FileTrouble(
            f"{shown[:80]} has {width} x {height} pixels; this demo takes at most {MAX_PIXELS // 1_000_000} million."
        )


def _text(data: bytes, shown: str) -> None:
    if b"\0" in data:
        raise FileTrouble(f"{shown[:80]} is not a text file.")
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileTrouble(f"{shown[:80]} is not UTF-8 text: byte {error.start} cannot be read.") from error
    # Counted first: nothing below makes more of the file than so many pieces.
    if (lines := max(data.count(b"\n"), data.count(b"\r"))) > MAX_LINES:
        raise FileTrouble(f"{shown[:80]} has {lines:,} lines; this demo takes at most {MAX_LINES:,}.")
    if max(map(len, data.split(b"\n"))) > MAX_LINE_BYTES:
        raise FileTrouble(f"{shown[:80]} has a line of more than {MAX_LINE_BYTES >> 20} MB.")
    if (values := sum(map(data.count, (b",", b"\t", b";", b"[", b"{")))) > MAX_VALUES:
        raise FileTrouble(f"{shown[:80]} has some {values:,} values; this demo takes at most {MAX_VALUES:,}.")


def _archive(data: bytes, shown: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except Exception as error:  # a damaged directory makes zipfile raise many kinds
        raise FileTrouble(f"{shown[:80]} is not a zip archive, or it is damaged.") from error
    total = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or total > min(MAX_UNPACKED_BYTES, MAX_RATIO * max(1, len(data))):
        raise FileTrouble(f"{shown[:80]} would unpack to more than this demo takes.")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.as_posix()[:2]:
            raise FileTrouble(f"{shown[:80]} has a member that leads out of it.")
        if path.suffix.lower() in (".pkl", ".pickle", ".pt", ".pth", ".bin"):
            raise FileTrouble(f"{shown[:80]} holds a pickle ({path.name[:40]}), which could run code.")
        if path.suffix.lower() == ".npy":
            with zipfile.ZipFile(io.BytesIO(data)) as archive, archive.open(member) as stream:
                _array(stream.read(1 << 16), f"{shown[:60]}/{path.name[:40]}")


def _array(data: bytes, shown: str) -> None:
    """The header of a .npy: its elements must be plain numbers, else reading it would unpickle."""
    if not data.startswith(b"\x93NUMPY") or len(data) < 12:
        raise FileTrouble(f"{shown[:100]} is not a .npy array.")
    length, start = (
        (struct.unpack("<H", data[8:10])[0], 10) if data[6] == 1 else (struct.unpack("<I", data[8:12])[0], 12)
    )
    header = data[start : start + min(length, 1 << 16)]
    kind = re.search(rb"'descr'\s*:\s*'([<>|=]?)([a-zA-Z])", header)
    if kind is None or kind[2] not in b"biufc":
        raise FileTrouble(f"{shown[:100]} must hold plain numbers; objects could run code.")


def _safetensors(data: bytes, shown: str) -> None:
    size = struct.unpack("<Q", data[:8])[0] if len(data) > 8 else 0
    if not 2 <= size <= min(len(data) - 8, 100 << 20) or data[8:9] != b"{":
        raise FileTrouble(f"{shown[:80]} is not a safetensors file.")

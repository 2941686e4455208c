"""TensorBoard's event files: a sequence of checked records, each an `Event` message in protocol buffer encoding.

Written and read here without TensorBoard, since only a handful of fields is needed: the messages are those of
`event.proto`, `summary.proto` and `tensor.proto` of TensorBoard, the framing (length, masked CRC-32C, data, masked
CRC-32C) that of TensorFlow's record files. Scalars are float32, as TensorBoard stores them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import BinaryIO

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
FLOAT, DOUBLE, STRING = 1, 2, 7
"""Of tensors: `DataType` in types.proto."""
MASK_DELTA = 0xA282EAD8
LONGEST_RECORD = 1 << 30


class DamagedEvents(ValueError):
    """A record whose checksum or length is wrong, or a message that is none."""


@dataclass(frozen=True)
class ScalarEvent:
    """One point: `tag` names the curve, `wall_time` is in Unix seconds."""

    tag: str
    step: int
    wall_time: float
    value: float


class EventWriter:
    """Writes one event file; use it as a context."""

    def __init__(self, path: Path, wall_time: float) -> None:
        self._file: BinaryIO = path.open("wb")
        self._record(_double(1, wall_time) + _bytes(3, b"brain.Event:2"))

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def scalar(self, tag: str, step: int, value: float, wall_time: float) -> None:
        """One point of a curve."""
        simple = _key(2, FIXED32) + struct.pack("<f", _single(value))
        self._summary(step, wall_time, _bytes(1, tag.encode()) + simple)

    def png(self, tag: str, step: int, data: bytes, size: tuple[int, int], wall_time: float) -> None:
        """A picture; `size` is its width and height."""
        width, height = size
        image = _varint(1, height) + _varint(2, width) + _varint(3, 3) + _bytes(4, data)
        self._summary(step, wall_time, _bytes(1, tag.encode()) + _bytes(4, image))

    def text(self, tag: str, text: str, wall_time: float) -> None:
        """A text in Markdown, for TensorBoard's page of texts."""
        plugin = _bytes(1, _bytes(1, b"text")) + _varint(4, 2)
        tensor = _varint(1, STRING) + _bytes(2, _bytes(2, _varint(1, 1))) + _bytes(8, text.encode())
        self._summary(0, wall_time, _bytes(1, tag.encode()) + _bytes(9, plugin) + _bytes(8, tensor))

    def _summary(self, step: int, wall_time: float, value: bytes) -> None:
        self._record(_double(1, wall_time) + _varint(2, step) + _bytes(5, _bytes(1, value)))

    def _record(self, data: bytes) -> None:
        length = struct.pack("<Q", len(data))
        checks = (struct.pack("<I", masked_crc(part)) for part in (length, data))
        head, tail = checks
        self._file.write(length + head + data + tail)


def scalars(path: Path) -> Iterator[ScalarEvent]:
    """The points of an event file, in order. A file that is still being written, or was cut, ends at its last whole
    record. Raises DamagedEvents."""
    for data in _records(path):
        event = _message(data)
        wall_time = _as_double(event.get(1, [b""])[-1])
        step = _signed(event.get(2, [0])[-1])
        for summary in event.get(5, []):
            for value in _message(_octets(summary)).get(1, []):
                found = _scalar(_message(_octets(value)))
                if found is not None:
                    yield ScalarEvent(found[0], step, wall_time, found[1])


def _scalar(value: dict[int, list[int | bytes]]) -> tuple[str, float] | None:
    """Tag and number of a summary's value; None for pictures, histograms and texts."""
    tag = _octets(value.get(1, [b""])[-1]).decode("utf-8", "replace")
    if 2 in value:
        return tag, _floats(_octets(value[2][-1]), "f")[0]
    if 8 not in value or not tag:
        return None
    tensor = _message(_octets(value[8][-1]))
    kind = tensor.get(1, [0])[-1]
    if kind not in (FLOAT, DOUBLE):
        return None
    letter, field = ("f", 5) if kind == FLOAT else ("d", 6)
    packed = b"".join(_octets(part) for part in (*tensor.get(4, []), *tensor.get(field, [])))
    numbers = _floats(packed, letter)
    return (tag, numbers[0]) if len(numbers) == 1 else None


def _records(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            (length,) = struct.unpack("<Q", head[:8])
            if struct.unpack("<I", head[8:])[0] != masked_crc(head[:8]) or length > LONGEST_RECORD:
                raise DamagedEvents("the length of a record does not fit its checksum")
            data = file.read(length + 4)
            if len(data) < length + 4:
                return
            if struct.unpack("<I", data[length:])[0] != masked_crc(data[:length]):
                raise DamagedEvents("a record does not fit its checksum")
            yield data[:length]


# Protocol buffers: a message is a sequence of fields, each a key (number and kind) and a value.


def _message(data: bytes) -> dict[int, list[int | bytes]]:
    """The fields of a message by number; fixed-size numbers stay bytes."""
    fields: dict[int, list[int | bytes]] = {}
    at = 0
    try:
        while at < len(data):
            key, at = _read_varint(data, at)
            kind = key & 7
            if kind == VARINT:
                number, at = _read_varint(data, at)
                fields.setdefault(key >> 3, []).append(number)
                continue
            if kind == BYTES:
                size, at = _read_varint(data, at)
            else:
                size = {FIXED64: 8, FIXED32: 4}[kind]
            if at + size > len(data):
                raise DamagedEvents("a field is longer than its message")
            fields.setdefault(key >> 3, []).append(data[at : at + size])
            at += size
    except (IndexError, KeyError) as error:
        raise DamagedEvents("a message is cut off or of an unknown kind") from error
    return fields


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
        if shift > 63:
            raise DamagedEvents("a number is too long")


def _octets(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise DamagedEvents("a number stands where a message belongs")
    return value


def _signed(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise DamagedEvents("a step is no whole number")
    return value - (1 << 64) if value >= 1 << 63 else value


def _as_double(value: int | bytes) -> float:
    return float(struct.unpack("<d", value)[0]) if isinstance(value, bytes) and len(value) == 8 else 0.0


def _floats(data: bytes, letter: str) -> tuple[float, ...]:
    size = struct.calcsize(letter)
    if len(data) < size or len(data) % size:
        raise DamagedEvents("a tensor is cut off")
    return struct.unpack(f"<{len(data) // size}{letter}", data)


def _single(value: float) -> float:
    """The value where float32 can hold it, else the infinity of its sign."""
    if value != value or abs(value) <= 3.4028234663852886e38:
        return value
    return float("inf") if value > 0 else float("-inf")


def _key(number: int, kind: int) -> bytes:
    return _raw_varint(number << 3 | kind)


def _varint(number: int, value: int) -> bytes:
    return _key(number, VARINT) + _raw_varint(value & 0xFFFFFFFFFFFFFFFF)


def _raw_varint(value: int) -> bytes:
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _double(number: int, value: float) -> bytes:
    return _key(number, FIXED64) + struct.pack("<d", value)


def _bytes(number: int, data: bytes) -> bytes:
    return _key(number, BYTES) + _raw_varint(len(data)) + data


# The checksum: CRC-32C (Castagnoli), turned and shifted so that a checksum of checksums is not weak.


def masked_crc(data: bytes) -> int:
    """The masked CRC-32C of a record's part."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """CRC-32C of the data; `crc32c(b"123456789")` is 0xE3069283. About 20 MB/s."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@cache
def _crc_table() -> tuple[int, ...]:
    made = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        made.append(value)
    return tuple(made)

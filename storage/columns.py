"""Column types that carry what SQL alone would lose, on SQLite and PostgreSQL alike.

Text that every database accepts, JSON with exact floats, and floats whose NaN survives: SQLite turns NaN into
NULL, so NULL *means* NaN in those columns, on every database.
"""

from __future__ import annotations

import math
from typing import Any

from sqlalchemy import BigInteger, Dialect, Double, Integer, Text
from sqlalchemy.types import TypeDecorator

from storage import jsontext
from storage.status import Status


def storable(text: str) -> str:
    """`text` as every database keeps it: NUL and lone surrogates become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class StoredText(TypeDecorator[str]):
    """Text, made storable on its way in (also inside conditions)."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else storable(value)


class StoredStatus(TypeDecorator[Status]):
    """A `Status` by its name."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Status | None, dialect: Dialect) -> str | None:
        return None if value is None else Status(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> Status | None:
        return None if value is None else Status(value)


class StoredJson(TypeDecorator[Any]):
    """A JSON value in the form of `jsontext`; Python's None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        if value is None or isinstance(value, jsontext.Encoded):
            return value
        return jsontext.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else jsontext.loads(value)


class StoredFloat(TypeDecorator[float]):
    """A float64 that is always there; NaN is kept as NULL, and -0.0 as 0.0 (SQLite does so by itself)."""

    impl = Double
    cache_ok = True

    def process_bind_param(self, value: float | None, dialect: Dialect) -> float | None:
        return None if value is None or math.isnan(value) else float(value) + 0.0

    def process_result_value(self, value: float | None, dialect: Dialect) -> float:
        return math.nan if value is None else value


# SQLite counts up by itself only where the key's type is exactly INTEGER.
CountedKey = BigInteger().with_variant(Integer, "sqlite")

"""JSON that keeps what Python holds: exact floats, NaN and infinities.

JSON has no NaN, so a non-finite float is written as `{"$float": "nan" | "inf" | "-inf"}`. A user's own object
whose single key starts with "$" is written as `{"$plain": [key, value]}`; nothing else is changed.
Tuples come back as lists.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

from storage.errors import StorageError

_FLOAT, _PLAIN = "$float", "$plain"
_NAMES = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class Encoded(str):
    """JSON text that `dumps` made already: a column takes it as it is."""

    __slots__ = ()


def encoded(value: Any) -> Encoded:
    """`value` as JSON text now, so that it may change later, and so that a bad one is refused where it is given.

    Raises:
        StorageError: like `dumps`.
    """
    return Encoded(dumps(value))


def dumps(value: Any) -> str:
    """`value` as compact JSON text in a fixed form (keys sorted), so that equal values have equal text.

    Numpy scalars count as the Python number they hold.

    Raises:
        StorageError: a value is not made of dicts with text keys, lists, text, numbers, booleans and None.
    """
    text = json.dumps(
        _tagged(value), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")
    )
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate: only its escaped form can be stored
        return json.dumps(_tagged(value), allow_nan=False, sort_keys=True, separators=(",", ":"))
    return text


def loads(text: str | bytes) -> Any:
    """The value that `dumps` wrote.

    Raises:
        ValueError: the text is not JSON, or holds a bare NaN or Infinity.
    """
    text = text if isinstance(text, str) else text.decode()
    return (_TAGGED if '"$' in text else _PLAIN_ONLY).decode(text)


def _tagged(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {_FLOAT: repr(float(value))}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise StorageError(f"A key of a recorded object must be text; got {key!r}.")
        items = {key: _tagged(item) for key, item in value.items()}
        if len(items) == 1:
            [(key, item)] = items.items()
            if key.startswith("$"):
                return {_PLAIN: [key, item]}
        return items
    if isinstance(value, list | tuple):
        return [_tagged(item) for item in value]
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return _tagged(value.item())
    raise StorageError(
        f"A recorded value must be made of text, numbers, lists and objects; got {type(value)}."
    )


def _untagged(pairs: list[tuple[str, Any]]) -> Any:
    if len(pairs) == 1:
        key, value = pairs[0]
        if key == _FLOAT and isinstance(value, str) and value in _NAMES:
            return _NAMES[value]
        if key == _PLAIN and isinstance(value, list) and len(value) == 2:
            return {value[0]: value[1]}
    return dict(pairs)


def _no_bare_constant(name: str) -> NoReturn:
    raise ValueError(f"bare {name} is not JSON")


_TAGGED = json.JSONDecoder(object_pairs_hook=_untagged, parse_constant=_no_bare_constant)
_PLAIN_ONLY = json.JSONDecoder(parse_constant=_no_bare_constant)  # no hook for objects: several times faster

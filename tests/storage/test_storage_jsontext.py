"""JSON text that keeps NaN, infinities and every float."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage import StorageError, jsontext

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text() | st.sampled_from(["$float", "$plain", "$"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(values)
def test_what_goes_in_comes_out(value) -> None:
    text = jsontext.dumps(value)
    assert repr(jsontext.loads(text)) == repr(_sorted(value))
    assert jsontext.dumps(jsontext.loads(text)) == text
    json.loads(text, parse_constant=_refuse)  # any JSON reader can read it
    text.encode()  # and any database can store it


@pytest.mark.parametrize(
    "value", [{"$float": "nan"}, {"$plain": ["$float", "nan"]}, {"$float": {"$float": 1.0}}]
)
def test_objects_that_look_like_tags_stay_objects(value) -> None:
    assert jsontext.loads(jsontext.dumps(value)) == value


def test_numpy_scalars_and_tuples_become_plain() -> None:
    value = {
        "a": np.float32(0.5),
        "b": np.int64(3),
        "c": (1, 2),
        "d": np.bool_(True),
        "e": np.float64(math.inf),
    }
    assert jsontext.loads(jsontext.dumps(value)) == {"a": 0.5, "b": 3, "c": [1, 2], "d": True, "e": math.inf}


@pytest.mark.parametrize("value", [{1: 2}, object(), {"a": b"bytes"}, [{1, 2}], np.zeros(2)])
def test_what_is_not_json_is_refused_in_one_sentence(value) -> None:
    with pytest.raises(StorageError, match="must be"):
        jsontext.dumps(value)


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{", '{"$float": NaN}'])
def test_what_is_not_json_text_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r"JSON|Expecting"):
        jsontext.loads(text)


def _sorted(value):
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _refuse(name):
    raise AssertionError(f"bare {name}")

"""Figures of a patch when drawing one goes wrong, and the choice of an axis for far-off values."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from storage import Changes, StorageError
from ui import live
from ui.figures_default import _wants_log


def spec(key: str, build: Any) -> Any:
    return SimpleNamespace(key=key, wants=lambda changes: True, build=build)


def fails(error: Exception) -> Any:
    def build(record: Any) -> Any:
        raise error

    return build


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (StorageError("The array 'edges' was replaced by a newer one; read the list again."), logging.INFO),
        (ValueError("a fault of a plug-in"), logging.ERROR),
    ],
)
def test_one_figure_does_not_take_the_others_along(
    error: Exception, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    good = spec("good", lambda record: {"data": [1]})
    record: Any = SimpleNamespace(run_id="r")
    changes: Any = Changes
    with caplog.at_level(logging.INFO):
        found = live._figures([spec("gone", fails(error)), good], record, changes, True)
    assert list(found) == ["good"]
    assert [entry.levelno for entry in caplog.records] == [level], (
        "only a fault is an error in the server's log"
    )


def test_far_off_values_take_a_logarithmic_axis_without_overflow() -> None:
    assert _wants_log([SimpleNamespace(y=np.array([1e-200, 1e200]))])
    assert not _wants_log([SimpleNamespace(y=np.array([1.0, 5.0]))])
    assert not _wants_log([SimpleNamespace(y=np.array([0.0, 1e9]))])

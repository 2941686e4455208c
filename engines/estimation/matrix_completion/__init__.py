"""Low-rank matrix completion by robust alternating minimisation (Gu, Song, Yin, Zhang, ICLR 2024).

    from engines.estimation.matrix_completion import MatrixCompletion
    model = MatrixCompletion(rank=10).fit(rows, cols, values)
    model.predict([3], [7])

The method's names are imported at first use, so that listing the engines stays quick."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engines.estimation.matrix_completion.experiment import ENGINE

if TYPE_CHECKING:
    from engines.estimation.matrix_completion.method import (
        Info,
        Iterate,
        MatrixCompletion,
        Observations,
        Options,
        State,
        init,
        step,
    )

__all__ = [
    "ENGINE",
    "Info",
    "Iterate",
    "MatrixCompletion",
    "Observations",
    "Options",
    "State",
    "init",
    "step",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"{__name__}.method"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

"""Stands for the package `spaces` of ZeroGPU: notes what is declared, insists on being imported before torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

if "torch" in sys.modules:
    raise RuntimeError("CUDA was touched before spaces was imported")

DECLARED: list[int] = []


def GPU(duration: int = 60) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare how long a call needs the GPU."""
    DECLARED.append(duration)
    return lambda function: function


def gradio_auto_wrap(function: Any) -> Any:
    """What Gradio passes every handler through on such a Space."""
    return function

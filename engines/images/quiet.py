"""Silence while models are read: a run's progress is an event, and the notes of the libraries are not for its reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet(*, notes: bool = True) -> Iterator[None]:
    """No progress bars of transformers and diffusers on stderr, and without `notes` nothing below their errors either (an
    AutoencoderTiny where a pipeline expects another class, weights of a tower that is not wanted)."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    kinds = (diffusers_logging, transformers_logging)
    bars = [kind for kind in kinds if kind.is_progress_bar_enabled()]
    levels = [kind.get_verbosity() for kind in kinds]
    for kind in bars:
        kind.disable_progress_bar()
    if not notes:
        for kind in kinds:
            kind.set_verbosity_error()
    try:
        yield
    finally:
        for kind, level in zip(kinds, levels, strict=True):
            kind.set_verbosity(level)
        for kind in bars:
            kind.enable_progress_bar()

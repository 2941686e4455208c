"""A run whose every word is an attack: all that an engine can say, by the writer's own methods."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from workbench.runs import Workbench


def say_all(workbench: Workbench, run_id: str, evil: str, seed: int = 0) -> None:
    """Record it: curves, texts, tables, alerts, arrays, pictures with captions, files, progress, claims."""
    with workbench.store.writer(run_id) as writer:
        for series in ("Ours", evil):
            for step in range(3):
                writer.scalar(series, "error", step=step, value=1.0 + step + seed, time_s=0.1)
                writer.scalar(series, evil, step=step, value=1.0 + step + seed, time_s=0.1)
        writer.text(evil, evil)
        writer.text("traceback", evil)
        writer.table(evil, [evil, "b"], [[evil, 1.0], [evil, None]])
        writer.alert(evil, 1.0, evil)
        writer.array(evil, 0, np.ones((2, 2)), [(evil, [evil, "b"]), ("x", [0.0, 1.0])], keep=True)
        for name in (evil, f"group{evil}/item", f"{evil}, before"):
            for step in range(2):
                writer.picture(name, step, picture(step), 4, 4, caption=evil)
        writer.file(evil, b"evil", "text/html", evil, f"{evil}.html")
        writer.progress(1, 2, evil)
        for key, holds in (("smaller", False), ("undecided", None), (evil, True)):
            writer.claim(key, evil, evil, 1.0, 2.0, holds, detail=evil, unit=evil)


def picture(shade: int) -> bytes:
    """A sound PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()

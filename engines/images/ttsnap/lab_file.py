"""Stored rewards as a file, for the replay lab: what a run of Search writes, and what a user brings.

`final` [P, S] or [R, P, S]; one or more scorers `plain`, `noise-aware`, ... [P, S, L] or [R, P, S, L] (a single array
named `scores` counts as `plain`); `levels` [L], the 0-indexed steps (0 .. L - 1 where absent); `total`, the number of
denoising steps (the last level + 1 where absent)."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.contract import Refusal

if TYPE_CHECKING:
    import numpy as np

    from engines.images.ttsnap.method.replay import Lab

ACCEPT = (".npz", ".safetensors")
FIELD = "table"
MOST_VALUES = 40_000_000
_HOW = "It needs final [prompt, seed] and scores [prompt, seed, step]."


def write(path: Path, lab: Lab) -> Path:
    """Write a lab as npz, and answer the path."""
    import numpy as np

    arrays: dict[str, Any] = {k: np.asarray(v, np.float32) for k, v in lab.scores.items()}
    np.savez_compressed(
        path,
        final=lab.final.astype(np.float32),
        levels=np.array(lab.levels),
        total=np.array(lab.total),
        **arrays,
    )
    return path


def check_header(path: Path, field: str = FIELD) -> None:
    """Refuse a file that is no table at all, without reading its numbers."""
    try:
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                names = {Path(name).stem for name in archive.namelist()}
                size = sum(item.file_size for item in archive.infolist())
            if size > 8 * MOST_VALUES:
                raise Refusal(
                    field, f"{field}: {path.name!r} unpacks to {size / 2**20:.0f} MB; at most 300 are taken."
                )
        else:
            from safetensors import safe_open

            with safe_open(str(path), framework="np") as file:
                names = set(file.keys())
    except Refusal:
        raise
    except Exception as error:  # zip and safetensors have errors of their own
        raise Refusal(
            field, f"{field}: {path.name!r} cannot be read as npz or safetensors. {_HOW}"
        ) from error
    if "final" not in names or not names - {"final", "levels", "total"}:
        raise Refusal(field, f"{field}: {path.name!r} holds {', '.join(sorted(names)) or 'nothing'}. {_HOW}")


def read(path: Path, field: str = FIELD) -> Lab:
    """A lab from a file. Raises Refusal for shapes that do not fit and for numbers that are not finite."""
    import numpy as np

    check_header(path, field)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as stored:
                arrays = {k: np.asarray(stored[k]) for k in stored.files}
        else:
            from safetensors.numpy import load_file

            arrays = dict(load_file(path))
    except Exception as error:  # NumPy and safetensors raise what they meet
        raise Refusal(
            field, f"{field}: {path.name!r} cannot be read ({type(error).__name__}). {_HOW}"
        ) from error
    return build(arrays, field)


def build(arrays: Mapping[str, np.ndarray], field: str = FIELD) -> Lab:
    """A lab from named arrays; see the head of this file."""
    import numpy as np

    from engines.images.ttsnap.method.replay import Lab

    final = np.asarray(arrays["final"], dtype=np.float64)
    final = final[None] if final.ndim == 2 else final
    scores = {}
    for name, values in arrays.items():
        if name in ("final", "levels", "total"):
            continue
        table = np.asarray(values, dtype=np.float64)
        scores["plain" if name == "scores" else name.replace("_", "-")] = (
            table[None] if table.ndim == 3 else table
        )
    for name, table in scores.items():
        if table.ndim != 4 or final.ndim != 3 or table.shape[:3] != final.shape:
            raise Refusal(
                field,
                f"{field}: {name} has the shape {table.shape} beside final {final.shape}; wanted [prompt, seed, step] beside "
                "[prompt, seed].",
            )
        if not np.isfinite(table).all():
            raise Refusal(field, f"{field}: {name} holds numbers that are not finite.")
    if not np.isfinite(final).all():
        raise Refusal(field, f"{field}: final holds numbers that are not finite.")
    if final.shape[1] < 2 or final.shape[2] < 4:
        raise Refusal(
            field, f"{field} needs at least 2 prompts and 4 seeds; got {final.shape[1]} and {final.shape[2]}."
        )
    length = next(iter(scores.values())).shape[-1]
    levels = tuple(int(v) for v in np.asarray(arrays.get("levels", np.arange(length))).ravel())
    if len(levels) != length or any(b <= a for a, b in zip((-1, *levels), levels, strict=False)):
        raise Refusal(field, f"{field}: levels must be {length} rising steps from 0 on; got {levels[:12]}.")
    if any(table.shape[-1] != length for table in scores.values()):
        raise Refusal(field, f"{field}: all scorers need the same steps.")
    total = int(np.asarray(arrays.get("total", levels[-1] + 1)).ravel()[0])
    if total <= levels[-1]:
        raise Refusal(field, f"{field}: total must be above the last step {levels[-1]}; got {total}.")
    scores.setdefault("plain", next(iter(scores.values())))
    return Lab(final, scores, levels, total)

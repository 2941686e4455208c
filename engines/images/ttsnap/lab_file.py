"""Stored rewards as a file, for the replay lab: what a run of Search writes, and what a user brings.

`final` [P, S] or [R, P, S]; one or more scorers `plain`, `noise-aware`, ... [P, S, L] or [R, P, S, L] (a single array
named `scores` counts as `plain`); `levels` [L], the 0-indexed steps (0 .. L - 1 where absent); `total`, the number of
denoising steps (the last level + 1 where absent). `fewer_final` (shape of `final`) and `fewer_total`: the same seeds drawn
with fewer steps. Arrays that hold no numbers (names of prompts, say) are left alone."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.contract import Refusal

if TYPE_CHECKING:
    import numpy as np

    from engines.images.ttsnap.method.replay import Lab

ACCEPT = (".npz", ".safetensors")
FIELD = "table"
MOST_VALUES = 40_000_000
LEAST_PROMPTS, LEAST_SEEDS = 2, 4
MOST_STEPS = 10_000
FEWER, FEWER_TOTAL = "fewer_final", "fewer_total"
_NO_SCORERS = ("final", "levels", "total", FEWER, FEWER_TOTAL)
_HOW = "It needs final [prompt, seed] and scores [prompt, seed, step]."


@dataclass(frozen=True)
class Stored:
    """A lab, and where it is known the lab (without scores) of the same seeds drawn with fewer steps."""

    lab: Lab
    fewer: Lab | None = None


def write(path: Path, lab: Lab, fewer: Lab | None = None) -> Path:
    """Write a lab as npz, and answer the path."""
    import numpy as np

    arrays: dict[str, Any] = {k: np.asarray(v, np.float32) for k, v in lab.scores.items()}
    if fewer is not None:
        arrays |= {FEWER: fewer.final.astype(np.float32), FEWER_TOTAL: np.array(fewer.total)}
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
    if "final" not in names or not names - {*_NO_SCORERS}:
        raise Refusal(field, f"{field}: {path.name!r} holds {', '.join(sorted(names)) or 'nothing'}. {_HOW}")


def read(path: Path, field: str = FIELD) -> Stored:
    """What a file holds. Raises Refusal for shapes that do not fit and for numbers that are not finite."""
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


def build(arrays: Mapping[str, np.ndarray], field: str = FIELD) -> Stored:
    """What named arrays hold; see the head of this file. Raises Refusal."""
    from engines.images.ttsnap.method.replay import Lab

    given = {name: values for name, values in arrays.items() if values.dtype.kind in "biuf"}
    for name in (n for n in _NO_SCORERS if n in arrays and n not in given):
        raise Refusal(field, f"{field}: {name} must hold real numbers; got {arrays[name].dtype}. {_HOW}")
    if "final" not in given or not given.keys() - {*_NO_SCORERS}:
        held = ", ".join(sorted(given)) or "nothing"
        raise Refusal(field, f"{field}: the arrays with numbers are {held}. {_HOW}")
    final = _table(given, "final", 2, field)
    scores = {
        "plain" if name == "scores" else name.replace("_", "-"): _table(given, name, 3, field)
        for name in given
        if name not in _NO_SCORERS
    }
    for name, table in scores.items():
        if table.shape[:3] != final.shape:
            raise Refusal(
                field,
                f"{field}: {name} has the shape {table.shape} beside final {final.shape}; wanted [prompt, seed, step] beside "
                "[prompt, seed].",
            )
    if final.shape[1] < LEAST_PROMPTS or final.shape[2] < LEAST_SEEDS or not len(final):
        raise Refusal(
            field,
            f"{field} needs at least {LEAST_PROMPTS} prompts and {LEAST_SEEDS} seeds; got {final.shape[1]} and {final.shape[2]}.",
        )
    levels, total = _levels(given, {table.shape[-1] for table in scores.values()}, field)
    scores.setdefault("plain", next(iter(scores.values())))
    return Stored(Lab(final, scores, levels, total), _fewer(given, final.shape, total, field))


def _table(given: Mapping[str, np.ndarray], name: str, axes: int, field: str) -> np.ndarray:
    """An array as float64 with an axis for the rewards before its `axes` others, all finite."""
    import numpy as np

    table = np.asarray(given[name], dtype=np.float64)
    table = table[None] if table.ndim == axes else table
    if table.ndim != axes + 1:
        wanted = "[prompt, seed]" if axes == 2 else "[prompt, seed, step]"
        raise Refusal(field, f"{field}: {name} has the shape {given[name].shape}; wanted {wanted}.")
    if not np.isfinite(table).all():
        raise Refusal(field, f"{field}: {name} holds numbers that are not finite.")
    return table


def _levels(given: Mapping[str, np.ndarray], lengths: set[int], field: str) -> tuple[tuple[int, ...], int]:
    """The stored steps, and the number of denoising steps."""
    if len(lengths) > 1:
        raise Refusal(field, f"{field}: all scorers need the same steps.")
    (length,) = lengths
    if not length:
        raise Refusal(field, f"{field}: the scores hold no step at all. {_HOW}")
    levels = _whole(given, "levels", field) if "levels" in given else tuple(range(length))
    if len(levels) != length or any(b <= a for a, b in zip((-1, *levels), levels, strict=False)):
        raise Refusal(field, f"{field}: levels must be {length} rising steps from 0 on; got {levels[:12]}.")
    total = _one(given, "total", field) if "total" in given else levels[-1] + 1
    if total <= levels[-1]:
        raise Refusal(field, f"{field}: total must be above the last step {levels[-1]}; got {total}.")
    return levels, total


def _fewer(given: Mapping[str, np.ndarray], shape: tuple[int, ...], total: int, field: str) -> Lab | None:
    from engines.images.ttsnap.method.replay import Lab

    if FEWER not in given:
        return None
    final = _table(given, FEWER, 2, field)
    if final.shape != shape:
        raise Refusal(field, f"{field}: {FEWER} must have the shape of final {shape}; got {final.shape}.")
    steps = _one(given, FEWER_TOTAL, field) if FEWER_TOTAL in given else 0
    if not 0 < steps < total:
        raise Refusal(field, f"{field}: {FEWER_TOTAL} must be above 0 and below {total} steps; got {steps}.")
    return Lab(final, {}, (), steps)


def _one(given: Mapping[str, np.ndarray], name: str, field: str) -> int:
    """A whole number."""
    found = _whole(given, name, field)
    if len(found) != 1:
        raise Refusal(field, f"{field}: {name} must be one number; got {len(found)}.")
    return found[0]


def _whole(given: Mapping[str, np.ndarray], name: str, field: str) -> tuple[int, ...]:
    """Whole numbers of some array, of a size that steps can have."""
    values = given[name].ravel().tolist()
    wrong = [v for v in values if not (abs(v) <= MOST_STEPS and v == int(v))]
    if wrong:
        raise Refusal(field, f"{field}: {name} must hold whole numbers up to {MOST_STEPS:,}; got {wrong[0]}.")
    return tuple(int(v) for v in values)

"""Deciding the claims of a search and of a replay. Every check computes and can fail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engines.events import ClaimCheck
from engines.images.ttsnap.contenders import BON, TTSNAP, TTSP, by_prompt

Floats = NDArray[np.float64]
_PAIRS = (("reward", TTSNAP, TTSP), ("best_of_n", TTSNAP, BON), ("plain_pruning", TTSP, BON))


def undecided(keys: Sequence[str], why: str) -> Iterator[ClaimCheck]:
    """Claims that this run could not decide."""
    for key in keys:
        yield ClaimCheck(key, None, None, None, why)


def rewards(values: Mapping[str, Floats], budget: float, suffix: str = "") -> Iterator[ClaimCheck]:
    """Pairs of contenders at one budget; `values` is each contender's mean final reward by prompt."""
    for key, one, other in _PAIRS:
        if one not in values or other not in values:
            yield ClaimCheck(
                key + suffix, None, None, None, f"{one if one not in values else other} did not take part."
            )
            continue
        gap, error = by_prompt(values, one, other)
        words = f"{one} minus {other} at {budget:g} calls: {gap:+.4f}, standard error over {len(values[one])} prompts {error:.4f}."
        yield ClaimCheck(key + suffix, float(values[one].mean()), float(values[other].mean()), gap > 0, words)


def alignment(plain: Mapping[int, float], aware: Mapping[int, float], steps: Sequence[int]) -> ClaimCheck:
    """Spearman at the prune steps: measured is the smallest lead's noise-aware value, beside the plain one there."""
    if not aware or not steps:
        return ClaimCheck("alignment", None, None, None, "No noise-aware reward, or no cut, took part.")
    leads = {s: aware[s] - plain[s] for s in steps}
    worst = min(leads, key=leads.__getitem__)
    words = "; ".join(f"step {s}: {plain[s]:.3f} to {aware[s]:.3f}" for s in steps)
    return ClaimCheck(
        "alignment", aware[worst], plain[worst], all(lead > 0 for lead in leads.values()), words + "."
    )


def increase(omega: Mapping[str, float]) -> ClaimCheck:
    """Omega of TTSnap against best-of-N (0), and of plain pruning in words."""
    if TTSNAP not in omega or not np.isfinite(omega[TTSNAP]):
        return ClaimCheck(
            "increase", None, None, None, "TTSnap did not take part, or best-of-N gained nothing."
        )
    words = f"Plain pruning: {omega[TTSP]:+.1f} %." if TTSP in omega else ""
    return ClaimCheck("increase", omega[TTSNAP], 0.0, omega[TTSNAP] > 0, words)


def judged(right: Mapping[str, Floats]) -> ClaimCheck:
    """Share of right pictures of the winners, by prompt."""
    if TTSNAP not in right or np.isnan(right[TTSNAP]).any():
        return ClaimCheck(
            "judged", None, None, None, "Only pictures of the embedded world have an exact checker."
        )
    gap, error = by_prompt(right, TTSNAP, BON)
    words = f"Difference {gap:+.3f}, standard error over prompts {error:.3f}."
    return ClaimCheck("judged", float(right[TTSNAP].mean()), float(right[BON].mean()), gap >= 0, words)

"""Deciding the claims of a search and of a replay. Every check computes and can fail; where there are pairs of numbers over
prompts, the family's one rule decides (`engines.images.verdicts`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engines.events import ClaimCheck
from engines.images import verdicts
from engines.images.ttsnap.contenders import BON, TTSNAP, TTSP

Floats = NDArray[np.float64]
PROMPTS = "prompts"
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
        words = f"{one} minus {other} at {budget:g} calls."
        yield verdicts.check(key + suffix, values[one], values[other], words, PROMPTS)


def alignment(plain: Mapping[int, Floats], aware: Mapping[int, Floats], steps: Sequence[int]) -> ClaimCheck:
    """Spearman of each prompt [P] by step: at every prune step the noise-aware reward must lead. Measured is its mean where
    the lead is smallest, beside the plain one there."""
    if not aware or not steps:
        return ClaimCheck("alignment", None, None, None, "No noise-aware reward, or no cut, took part.")
    found: dict[int, ClaimCheck] = {}
    for step in steps:
        known = np.isfinite(plain[step]) & np.isfinite(aware[step])
        if not known.any():
            why = f"At step {step} the estimates of a prompt do not differ, so they cannot be ranked."
            return ClaimCheck("alignment", None, None, None, why)
        found[step] = verdicts.check("alignment", aware[step][known], plain[step][known], "", PROMPTS)
    worst = min(found.values(), key=_lead)
    held = [check.holds for check in found.values()]
    holds = False if False in held else None if None in held else True
    words = "; ".join(f"step {s}: {c.baseline:.3f} to {c.measured:.3f}" for s, c in found.items())
    return ClaimCheck(
        "alignment",
        worst.measured,
        worst.baseline,
        holds,
        f"Plain to noise-aware, {words}. Smallest lead: {worst.detail}",
    )


def _lead(check: ClaimCheck) -> float:
    return (check.measured or 0.0) - (check.baseline or 0.0)


def increase(omega: Mapping[str, float]) -> ClaimCheck:
    """Omega of TTSnap against best-of-N (0), and of plain pruning in words."""
    if TTSNAP not in omega or not np.isfinite(omega[TTSNAP]):
        return ClaimCheck(
            "increase", None, None, None, "TTSnap did not take part, or best-of-N gained nothing."
        )
    words = f"Plain pruning: {omega[TTSP]:+.1f} %." if TTSP in omega else ""
    return ClaimCheck("increase", omega[TTSNAP], 0.0, omega[TTSNAP] > 0, words)


def judged(right: Mapping[str, Floats]) -> ClaimCheck:
    """Share of right pictures of the winners, by prompt. "At least as often" fails where best-of-N is above by the rule, and
    is open where its lead is too small to tell."""
    if TTSNAP not in right or np.isnan(right[TTSNAP]).any():
        return ClaimCheck(
            "judged", None, None, None, "Only pictures of the embedded world have an exact checker."
        )
    rival = verdicts.compare(right[BON], right[TTSNAP], PROMPTS)
    holds = None if rival.holds is None else not rival.holds
    words = f"{rival.words} Here: best-of-N minus TTSnap."
    return ClaimCheck("judged", float(right[TTSNAP].mean()), float(right[BON].mean()), holds, words)

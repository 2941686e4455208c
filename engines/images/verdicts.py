"""One rule for the comparative claims of the family: what pairs of numbers say about "the first is above the second".

From `MANY` pairs on, the mean difference decides with its standard error: above two of them the claim holds, not above
zero it fails, and in between the run could not decide. Fewer pairs give no error to speak of: the sign decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.events import ClaimCheck

MANY = 8
"""So many pairs make a standard error worth reading."""
Values = Sequence[float] | NDArray[np.generic]


@dataclass(frozen=True)
class Verdict:
    """Whether the first is above the second (None: not decided), with the numbers in words."""

    gap: float
    error: float
    holds: bool | None
    words: str


def paired(first: Values, second: Values) -> tuple[float, float]:
    """Mean difference and its standard error over pairs; the error is 0 for a single pair."""
    gap = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap))) if len(gap) > 1 else 0.0


def compare(first: Values, second: Values, unit: str = "pairs") -> Verdict:
    """Paired samples, larger is better. `unit` names what is paired, in the plural. Differences that are not finite
    decide nothing."""
    gap, error = paired(first, second)
    n = len(first)
    if not np.isfinite(gap):
        return Verdict(gap, error, None, f"Not decided: the difference over {n} {unit} is not finite.")
    numbers = f"Difference {gap:+.3g}, standard error {error:.2g} over {n} {unit}"
    if n < MANY:
        side = "above" if gap > 0 else "not above"
        few = f"too few for the error to count (under {MANY}), so the sign decides"
        return Verdict(gap, error, gap > 0, f"{numbers}: {side} zero; {few}.")
    if gap > 2 * error:
        return Verdict(gap, error, True, f"{numbers}: above two standard errors.")
    if gap > 0:
        return Verdict(gap, error, None, f"Not decided: above, but within two standard errors. {numbers}.")
    return Verdict(gap, error, False, f"{numbers}: not above zero.")


def check(key: str, first: Values, second: Values, words: str = "", unit: str = "pairs") -> ClaimCheck:
    """The claim `key` that `first` is above `second`: their means, the verdict, and `words` before its numbers."""
    verdict = compare(first, second, unit)
    means = (float(np.asarray(values, dtype=np.float64).mean()) for values in (first, second))
    # a verdict that is none says so first
    parts = (verdict.words, words) if verdict.holds is None else (words, verdict.words)
    return ClaimCheck(key, *means, verdict.holds, " ".join(part for part in parts if part))

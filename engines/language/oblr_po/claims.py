"""The claims that a run checks, and how each is decided from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engines.contract import Claim
from engines.events import ClaimCheck
from engines.language.oblr_po.baselines import ARMS, FIXED_BASELINES

_ABSTRACT = "arXiv 2511.23310, abstract; the paper's figures could not be confirmed"

CLAIMS = (
    Claim("closed_form", "Two arms: the variance-optimal baseline is 1 - p, not p, and leaves no variance at all (largest error)",
          source="closed form"),
    Claim("bound", "The guaranteed gain of a step at the SNR rate holds for every policy and baseline of the bandit (smallest gain / bound)",
          source="closed form and simulation"),
    Claim("oracle", "The exact optimal baseline has less variance than the exact mean baseline at every checkpoint (largest ratio)",
          source=_ABSTRACT),
    *(Claim(f"estimated_g{g}", f"The estimated optimal baseline has less variance than RLOO with {g} responses a prompt (largest ratio)",
            source=_ABSTRACT) for g in (8, 16, 32)),
    Claim("gain", "OBLR-PO learns more than RLOO, GRPO and REINFORCE at their tuned rates in the same number of steps (held-out accuracy)",
          source=_ABSTRACT),
    Claim("stability", "OBLR-PO falls back from its best held-out accuracy less than every fixed-rate baseline (largest fall)",
          source=_ABSTRACT),
    Claim("baseline_only", "The optimal baseline alone learns more than RLOO, each at its tuned fixed rate (held-out accuracy)",
          source="derived"),
    Claim("adaptivity", "The adaptive rate learns more than a fixed rate equal to its mean (held-out accuracy)",
          source="derived"),
)  # fmt: skip

Accuracy = NDArray[np.float64]


def final(history: Sequence[Accuracy]) -> Accuracy:
    """Held-out accuracy of each problem, (problems,), mean over the last third of the evaluations."""
    return np.mean(history[-max(1, len(history) // 3) :], axis=0)


def fall(history: Sequence[Accuracy]) -> float:
    """Largest fall of the mean held-out accuracy below its best value so far."""
    means = np.array([h.mean() for h in history])
    return float((np.maximum.accumulate(means) - means).max())


def check_training(histories: Mapping[str, Sequence[Accuracy]]) -> Iterator[ClaimCheck]:
    """Claims about learning, from each arm's held-out accuracies (evaluations of (problems,))."""
    rivals = [key for key in FIXED_BASELINES if key in histories]
    if "oblr_po" in histories and rivals:
        best = max(rivals, key=lambda key: final(histories[key]).mean())
        yield _more("gain", histories, "oblr_po", best)
        steadiest = min(rivals, key=lambda key: fall(histories[key]))
        mine, theirs = fall(histories["oblr_po"]), fall(histories[steadiest])
        yield ClaimCheck(
            "stability", mine, theirs, mine < theirs, f"Against {ARMS[steadiest].series}, the steadiest here."
        )
    if "ob_only" in histories and "rloo" in histories:
        yield _more("baseline_only", histories, "ob_only", "rloo")
    if "oblr_po" in histories and "matched" in histories:
        yield _more("adaptivity", histories, "oblr_po", "matched")


def _more(key: str, histories: Mapping[str, Sequence[Accuracy]], first: str, second: str) -> ClaimCheck:
    """Whether `first` ends above `second` by more than two standard errors over held-out problems, paired."""
    mine, theirs = final(histories[first]), final(histories[second])
    error = float((mine - theirs).std(ddof=1) / np.sqrt(len(mine))) if len(mine) > 1 else 0.0
    gap = float((mine - theirs).mean())
    detail = (f"Against {ARMS[second].series}: difference {gap:+.3f}, standard error {error:.3f} over {len(mine)} held-out "
              "problems; holds where it is above two standard errors.")  # fmt: skip
    return ClaimCheck(key, float(mine.mean()), float(theirs.mean()), bool(gap > 2 * error), detail)

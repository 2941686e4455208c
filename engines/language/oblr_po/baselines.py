"""The arms of a comparison: the method, its ablations, and the estimators that it is compared with.

All are settings of one trainer, so that they share every other line of code; TRL's RLOO advantages are compared with
ours in the tests. Learning rates are each arm's best on a grid (`tuning.py`, `tuned_rates.json`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Arm:
    """`series` is the name in figures; `estimator` and `adaptive` as in `training.Settings`."""

    series: str
    estimator: str
    adaptive: bool = False


ARMS: dict[str, Arm] = {
    "oblr_po": Arm("OBLR-PO", "optimal", adaptive=True),
    "ob_only": Arm("OBLR-PO, optimal baseline only", "optimal"),
    "snr_only": Arm("OBLR-PO, SNR rate only", "RLOO", adaptive=True),
    "matched": Arm("OBLR-PO, fixed at its mean rate", "optimal"),
    "rloo": Arm("RLOO", "RLOO"),
    "grpo": Arm("GRPO", "GRPO"),
    "reinforce": Arm("REINFORCE", "batch mean"),
    "group_mean": Arm("Group mean", "group mean"),
    "remax": Arm("ReMax", "ReMax"),
    "reinforce_pp": Arm("REINFORCE++", "REINFORCE++"),
    "opo": Arm("OPO", "OPO"),
    "shrinkage": Arm("Shrinkage", "shrinkage"),
}
"""Key to arm. "matched" is the mandatory control: what the optimal baseline gives at a fixed rate equal to the mean of
the rates that OBLR-PO used, so that adaptivity is not confused with a smaller rate."""

FIXED_BASELINES = ("rloo", "grpo", "reinforce", "group_mean", "remax", "reinforce_pp", "opo", "shrinkage")

TUNING_FILE = Path(__file__).parent / "tuned_rates.json"


@cache
def _tuning() -> dict[str, dict[str, float]]:
    return json.loads(TUNING_FILE.read_text())["grid"]


def tuned_rate(key: str) -> float:
    """The arm's best learning rate on the grid (AdamW, embedded policy, 8 prompts x 16 responses)."""
    grid = _tuning()[{"matched": "ob_only"}.get(key, key)]
    return float(max(grid, key=lambda rate: grid[rate]))


def tuning_rows() -> list[list[str | float | bool]]:
    """Rows (arm, rate, held-out accuracy, chosen) of everything that was tried."""
    return [
        [ARMS[key].series, float(rate), score, float(rate) == tuned_rate(key)]
        for key, grid in _tuning().items()
        for rate, score in grid.items()
    ]


ADAPTED_RATE_NOTE = (
    "Each contender runs at its best learning rate of a grid (table below: 60 steps of AdamW, 8 prompts x 16 responses, "
    "seeds 100 to 103, the four outside the default set 100 and 101; mean held-out accuracy of the last third). Rates of adaptive contenders are the largest rate, of "
    "which they use a share."
)
